"""What has been said on one connection: enough of HTTP/1.1 to know when it is between two requests."""

import h11


class Conversation:
    """Is shown all bytes of one connection, both ways, and changes none.

    What is not HTTP/1.1, or stops being it (a WebSocket), is never between requests: such a connection stays where it is.
    """

    def __init__(self) -> None:
        self._asked = h11.Connection(h11.SERVER)
        self._answered = h11.Connection(h11.CLIENT)
        self._understood = True

    @property
    def understood(self) -> bool:
        """So far all of it was HTTP."""
        return self._understood

    @property
    def between_requests(self) -> bool:
        """Every request has its whole answer, no part of another has come, and the connection may carry one."""
        return (
            self._understood
            and self._asked.their_state is h11.IDLE
            and self._asked.our_state is h11.IDLE
            and not self._asked.trailing_data[0]
        )

    def from_client(self, chunk: bytes) -> None:
        try:
            self._asked.receive_data(chunk)
            self._follow(self._asked, self._answered)
        except h11.ProtocolError:
            self._understood = False

    def from_server(self, chunk: bytes) -> None:
        try:
            self._answered.receive_data(chunk)
            self._follow(self._answered, self._asked)
            if {self._asked.states[role] for role in (h11.CLIENT, h11.SERVER)} == {h11.DONE}:
                self._asked.start_next_cycle()
                self._answered.start_next_cycle()
                self._follow(self._asked, self._answered)  # what a pipelining client sent ahead
        except h11.ProtocolError:
            self._understood = False

    def _follow(self, heard: h11.Connection, told: h11.Connection) -> None:
        """Tell one side's view what the other side said."""
        while self._understood:
            event = heard.next_event()
            if not isinstance(event, h11.Event) or isinstance(event, h11.ConnectionClosed):
                return  # nothing more for now
            told.send_with_data_passthrough(event)
