"""The node's place on the bus: hears commands, has them carried out, answers; asks its peers what they have revoked."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from umbel.app import Umbel
from umbel.bus import ask
from umbel.errors import SignatureError, StoreError, WireError
from umbel.model import Envelope
from umbel.ports import Bus
from umbel.wire.control import Command, read_command, write_answer
from umbel.worker.commands import NOTHING, Commands

logger = logging.getLogger("umbel.worker")

WARN_EVERY = 60.0
"""Seconds between two warnings about commands that are not signed."""

PEERS = 0.5
"""Seconds without another answer after which no other peer is waited for."""


class Mailbox:
    """Two services of one node, whose loop owns it: ``run`` and what it starts."""

    def __init__(self, app: Umbel, node: str, bus: Bus, commands: Commands, *, curious: bool) -> None:
        """``curious``: what peers have revoked stands nowhere else, so they are asked."""
        self._app = app
        self._node = node
        self._bus = bus
        self._commands = commands
        self._curious = curious
        self._protection = app.protection
        self._accept = app.accept_content
        self._next_warning = 0.0
        self._asking: asyncio.Task[None] | None = None
        self.informed = asyncio.Event()
        """Set once the node listens and its peers had their time to answer."""

    async def run(self) -> None:
        """The service: lives until cancelled."""
        try:
            async with aclosing(self._bus.hear(self._node)) as heard:
                async for envelopes in heard:
                    if not envelopes:
                        self._listening()
                    for envelope in envelopes:
                        await self._open(envelope)
        finally:
            if self._asking is not None:
                self._asking.cancel()

    def _listening(self) -> None:
        """It listens from now on, and may have missed something."""
        if not self._curious:
            self.informed.set()
        elif self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_peers())

    async def _ask_peers(self) -> None:
        command = Command("hello", {"from_node": self._node, **self._commands.revoked()})
        try:
            answers = await ask(self._app, self._bus, command, timeout=PEERS)
            for node, answer in answers.items():
                if node != self._node:
                    await self._commands.learn(answer)
        except StoreError as error:
            logger.warning("What other workers have revoked is not known here yet: %s", error)
        finally:
            self.informed.set()

    async def _open(self, envelope: Envelope) -> None:
        """Carry out one command, and answer it. The firewall: no command ends the node."""
        command: Command | None = None
        try:
            command = read_command(envelope, accept=self._accept, protection=self._protection)
            if not command.is_for(self._node):
                return
            answer = await self._commands.do(command)
        except SignatureError as error:
            self._warn(error)
            return
        except (WireError, StoreError) as error:
            logger.warning("A command from the bus was not carried out: %s", error)
            answer = {"error": str(error)}
        except Exception as error:
            logger.critical("umbel failed on a command from the bus", exc_info=True)
            answer = {"error": repr(error)}
        if command is None or not command.reply_to or answer is NOTHING:
            return
        try:
            await self._bus.reply(
                command.reply_to,
                write_answer(self._node, command.ticket, answer, self._bus.form, protection=self._protection),
            )
        except (WireError, StoreError) as error:
            logger.warning("The answer to %s could not be sent: %s", command.method[:80], error)

    def _warn(self, error: SignatureError) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next_warning:
            self._next_warning = now + WARN_EVERY
            logger.warning("A command from the bus is ignored, as others for the next minute would be: %s", error)
