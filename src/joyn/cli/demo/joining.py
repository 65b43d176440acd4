"""How to join the demo with a phone of one's own, and who has."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from joyn.cli.demo.cast import ALICE, BOB, GUESTS, NAMES

if TYPE_CHECKING:
    from joyn.cli.demo.operator import Company, Operator
    from joyn.cli.demo.scene import Scene
    from joyn.model.binding import Binding
    from joyn.protocol.reginfo import Event


def invitation(company: Company) -> str:
    """What to type into a third phone, and whom to write to."""
    at = [(guest, company.of(guest)) for guest in GUESTS]
    guest, operator = at[0]
    rows = [
        ("username", [number for number, _ in at]),
        ("password", [one.passwords[number] for number, one in at]),
        ("domain", [one.domain for _, one in at]),
        ("proxy", [f"sip:{one.server};transport=tcp" for _, one in at]),
    ]
    if company.interconnected:
        rows.insert(0, ("", [f"{NAMES[number]}, {one.cast.name}" for number, one in at]))
    joyn, account = command(), account_of(operator, guest)
    return f"""\

Join them with a third phone: it is a subscriber already. transport=udp will do as well.

{_columns(rows)}

Linphone: "Use a SIP account" with username, password, domain and transport as above; then, in the
settings of that account, the proxy above as its SIP server address and as its outbound proxy.

baresip: it leaves loopback out unless its file "config" has `net_interface {operator.host}` and
`sip_listen {operator.host}:0`. In its file "accounts" this line:
<sip:{guest}@{operator.domain}>;auth_pass={operator.passwords[guest]};outbound="sip:{operator.server}"

No phone at hand? From another terminal, send, and then fetch the answers that wait:
    {joyn} phone send {BOB} hello {account}
    {joyn} phone listen --seconds 5 {account}

{_whom(company, operator)}
Look behind the scenes:
{_commands(company, operator)}

This goes on until you press Ctrl-C.
"""


def account_of(operator: Operator, number: str) -> str:
    """The options of `joyn phone` that say who it is."""
    password = (operator.directory / "passwords" / number).as_posix()
    return (
        f"--number {number} --server {operator.server} \\\n"
        f"        --domain {operator.domain} --password-file {password}"
    )


def command() -> str:
    """How to call us from another terminal."""
    if shutil.which("joyn"):
        return "joyn"
    called = Path(sys.argv[0])
    return "python -m joyn" if called.name == "__main__.py" else called.as_posix()


def _columns(rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    return "\n".join(f"    {what:<10} {''.join(f'{cell:<38}' for cell in cells)}".rstrip() for what, cells in rows)


def _whom(company: Company, operator: Operator) -> str:
    if not company.interconnected:
        return f"Write to Bob, sip:{BOB}@{operator.domain}: he answers whoever writes to him, and so does Alice."
    theirs = company.of(BOB).cast.name
    return (
        f"Write to Bob, {BOB}: he is with {theirs}, and the number is enough. He answers whoever writes to\n"
        f"him, and so does Alice, {ALICE}."
    )


def _commands(company: Company, operator: Operator) -> str:
    config = f"--config {operator.config.as_posix()}"
    looks = [f"binding list {config}"]
    if company.interconnected:
        from joyn.cli.demo.exchange import DIRECTORY

        looks += [f"peer list {config}", f"route {BOB} {config}"]
        looks[-1] += f"\n\nThe files that the two gave each other lie in {(company.directory / DIRECTORY).as_posix()}/."
    return "\n".join(f"    {command()} {one}" for one in looks)


def watch(company: Company, scene: Scene) -> None:
    """Tell of devices that come and go."""
    for operator in company.operators:
        _watch(operator, scene, f" at {operator.cast.name}" if company.interconnected else "")


def _watch(operator: Operator, scene: Scene, where: str) -> None:
    from joyn.model.aor import Aor

    registrar = operator.node.registrar
    bound, unbound = registrar.on_bound, registrar.on_unbound

    def on_bound(binding: Binding, fresh: bool) -> None:
        bound(binding, fresh)
        if fresh:
            scene.tell(scene.name(_number(binding)), f"registered{where} from {_device(binding)}")

    def on_unbound(binding: Binding, event: Event) -> None:
        unbound(binding, event)
        scene.tell(scene.name(_number(binding)), "is gone")

    registrar.on_bound, registrar.on_unbound = on_bound, on_unbound
    for guest in operator.cast.guests:
        for binding in registrar.of(Aor(f"tel:{guest}")):
            scene.tell(scene.name(guest), f"is registered{where} from {_device(binding)}")


def _number(binding: Binding) -> str:
    return binding.aor.partition(":")[2]


def _device(binding: Binding) -> str:
    from joyn.cli.printing import plain

    transport = binding.flow.partition("|")[0].upper()
    return f"{plain(binding.user_agent) or 'an unnamed client'} over {transport}"
