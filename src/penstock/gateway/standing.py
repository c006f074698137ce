"""Who stands for an answer that cannot begin yet, and then hands everything on to it."""

from abc import ABC, abstractmethod

from penstock.gateway.answer import Answer


class Standing(ABC):
    """Satisfies `answer.Answer`; what is special in waiting is its subclass's.

    `_cancel` and `_expire` are called only while there is no answer.
    """

    __slots__ = ("_answer", "_paused")

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._paused = False

    def _hand_over(self, answer: Answer) -> None:
        """The answer has begun."""
        self._answer = answer
        if self._paused:
            answer.pause()

    @abstractmethod
    def _cancel(self) -> None:
        """The client has left while it waited."""

    @abstractmethod
    def _expire(self) -> None:
        """It has waited too long."""

    def cancel(self) -> None:
        """Answer: the client has left."""
        if self._answer is not None:
            self._answer.cancel()
        else:
            self._cancel()

    def expire(self) -> None:
        """Answer: time is up."""
        if self._answer is not None:
            self._answer.expire()
        else:
            self._expire()

    def pause(self) -> None:
        """Answer: the client reads slowly."""
        self._paused = True
        if self._answer is not None:
            self._answer.pause()

    def resume(self) -> None:
        """Answer: the client has caught up."""
        self._paused = False
        if self._answer is not None:
            self._answer.resume()
