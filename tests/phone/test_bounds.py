import asyncio

from joyn.phone.chat import Chat
from joyn.phone.inbox import MAX_REMEMBERED, remember
from joyn.phone.journal import MAX_HAPPENINGS, Journal
from joyn.phone.sessions import MAX_CHATS
from phone.scripted_chat import ScriptedChat, ScriptedChats
from phone.scripted_server import ALICE, BOB, make_chat, make_phone, running


def test_what_is_remembered_is_forgotten_oldest_first() -> None:
    kept: dict[int, None] = {}
    for number in range(4):
        remember(kept, number, None, 3)
    assert list(kept) == [1, 2, 3]


def test_the_journal_forgets_its_beginning() -> None:
    journal = Journal()
    for number in range(MAX_HAPPENINGS + 1):
        journal.note("received", str(number))
    assert (len(journal), journal[0].about) == (MAX_HAPPENINGS, "1")


def test_an_id_is_known_as_long_as_it_is_remembered() -> None:
    async def story() -> None:
        async with running() as server, make_phone(server) as alice:
            for number in range(MAX_REMEMBERED):
                alice._inbox.sending(BOB, str(number), "pager")
            first = alice._inbox._sent["0"]
            assert alice._inbox.sending(BOB, "0", "pager") is first
            alice._inbox.sending(BOB, "one more", "pager")
            assert alice._inbox.sending(BOB, "0", "pager") is not first

    asyncio.run(story())


def test_one_chat_too_many_is_answered_busy() -> None:
    async def story() -> None:
        async with (
            running() as server,
            ScriptedChats(server, ALICE) as chats,
            make_phone(server) as alice,
        ):
            sessions = alice._sessions
            for _ in range(MAX_CHATS):
                media = alice._radio.msrp.session(sessions)
                sessions._by_media[media] = Chat(sessions, BOB, media)
            _, answering = await chats.ask(ScriptedChat(chats), first=make_chat())
            assert (await answering).status == 486

    asyncio.run(story())
