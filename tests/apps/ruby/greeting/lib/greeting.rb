# frozen_string_literal: true

module Greeting
  VERSION = 1

  def self.text
    "Hello from Ruby, version #{VERSION}"
  end
end
