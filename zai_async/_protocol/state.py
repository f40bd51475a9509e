"""The states of a decoder, and what may follow what."""

import enum

__all__ = ["DecoderState"]

# How a body is read, from its first byte to its outcome. Comments, empty events and keep-alives
# change nothing in any state.
#
#   state       what was read         next state   why
#   ---------   -------------------   ----------   -------------------------------------------------
#   WAITING     "{", "[" or "<"       DOCUMENT     an error, a page, or an answer in one piece
#   WAITING     anything else         RECEIVING
#   DOCUMENT    a line "data:"        RECEIVING    what came before was a stray line
#   DOCUMENT    the end of the input  ENDED        if the document is the whole answer
#                                     FAILED       if it is an error, a page, or anything else
#   RECEIVING   the finish reason     FINISHED     only usage, findings and the end mark follow
#   RECEIVING   damage, or a page     SUSPECT      of a chat answer: it may be begun anew
#                                     FAILED       of any other answer
#   SUSPECT     the next event        RECEIVING    if nothing that was lost can belong to it
#                                     FAILED       if something can: it would be missing
#   FINISHED    a damaged frame       FINISHED     another generation may follow, even so
#   any         the end mark          ENDED        if the operation has what an answer of it needs
#                                     FAILED       if not
#   any         the end of the input  ENDED        after the finish reason, or what stands for it
#                                     FAILED       before it: the answer was cut
#   any         an error event        FAILED
#
# ENDED and FAILED are final. What is read after ENDED is thrown away: some gateways append events
# that belong to nobody, and a second answer would be taken for a part of the first. FAILED raises
# the same error again for whoever reads on.


class DecoderState(enum.Enum):
    """How far a decoder has come with its answer."""

    WAITING = "waiting"
    """Nothing has come."""
    DOCUMENT = "document"
    """What comes is one document instead of events; what it is shows at its end."""
    RECEIVING = "receiving"
    """Events are coming."""
    SUSPECT = "suspect"
    """A frame was damaged; the next event tells whether anything is missing."""
    FINISHED = "finished"
    """The answer is whole; only its end mark, and what stands beside it, is still to come."""
    ENDED = "ended"
    """The answer has come to a proper end; ``outcome`` says which."""
    FAILED = "failed"
    """The answer did not come to a proper end; ``error`` says why."""
