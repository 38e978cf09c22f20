# frozen_string_literal: true

require "greeting"
require "socket"

# As small as an HTTP server can be, so that the sample needs no gem server. Apps take puma.
def answer(client)
  path = client.gets.to_s.split[1].to_s
  nil until client.gets.to_s.strip.empty?
  sleep path[/\A\/slow\?seconds=(\d+)/, 1].to_i
  found = path == "/" || path.start_with?("/slow?")
  body = "#{found ? Greeting.text : 'There is nothing here'}\n"
  client.write "HTTP/1.1 #{found ? '200 OK' : '404 Not Found'}\r\nContent-Type: text/plain\r\n" \
               "Content-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n#{body}"
ensure
  client.close
end

server = TCPServer.new("0.0.0.0", Integer(ENV.fetch("PORT", "8080")))
stopping, stop = IO.pipe
trap("TERM") { stop.close }
requests = []
loop do
  ready, = IO.select([server, stopping])
  break if ready.include?(stopping)

  requests.select!(&:alive?)
  requests << Thread.new(server.accept) { |client| answer(client) }
end
server.close
requests.each(&:join)
