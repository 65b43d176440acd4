"""One PJSIP account, in a process of its own (two in one process answer each other 482).

Reads JSON lines: {"send": URI, "type": media type, "body": text}, {"quit": true}.
Prints JSON lines: {"registered": status}, {"sent": status}, {"received": {"from", "to", "type", "body"}}.
"""

import json
import select
import sys
from typing import Any

import pjsua2

TRANSPORTS = {"udp": pjsua2.PJSIP_TRANSPORT_UDP, "tcp": pjsua2.PJSIP_TRANSPORT_TCP, "tls": pjsua2.PJSIP_TRANSPORT_TLS}


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


class Account(pjsua2.Account):
    """Prints what happens to it."""

    def onRegState(self, prm: Any) -> None:  # noqa: N802 - PJSIP's name
        tell(registered=prm.code)

    def onInstantMessage(self, prm: Any) -> None:  # noqa: N802 - PJSIP's name
        tell(received={"from": prm.fromUri, "to": prm.toUri, "type": prm.contentType, "body": prm.msgBody})

    def onInstantMessageStatus(self, prm: Any) -> None:  # noqa: N802 - PJSIP's name
        tell(sent=prm.code)


def start(settings: dict[str, Any]) -> tuple[pjsua2.Endpoint, Account]:
    """An endpoint without threads or sound, and a registering account."""
    endpoint = pjsua2.Endpoint()
    endpoint.libCreate()
    configuration = pjsua2.EpConfig()
    configuration.uaConfig.threadCnt = 0
    configuration.uaConfig.mainThreadOnly = True
    configuration.logConfig.level = settings["verbosity"]
    configuration.logConfig.consoleLevel = settings["verbosity"]
    endpoint.libInit(configuration)
    transport = pjsua2.TransportConfig()
    transport.boundAddress = transport.publicAddress = "127.0.0.1"
    transport.tlsConfig.CaListFile = settings["authority"]
    transport.tlsConfig.verifyServer = True
    endpoint.transportCreate(TRANSPORTS[settings["transport"]], transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    account = Account()
    account.create(account_configuration(settings))
    return endpoint, account


def account_configuration(settings: dict[str, Any]) -> pjsua2.AccountConfig:
    """What people type into a PJSIP phone."""
    configuration = pjsua2.AccountConfig()
    configuration.idUri = settings["uri"]
    configuration.regConfig.registrarUri = f"sip:{settings['domain']}"
    configuration.regConfig.timeoutSec = 600
    configuration.sipConfig.proxies.append(f"{settings['proxy']};lr")
    credentials = pjsua2.AuthCredInfo("digest", "*", settings["username"], 0, settings["password"])
    configuration.sipConfig.authCreds.append(credentials)
    return configuration


def serve(endpoint: pjsua2.Endpoint, account: Account) -> None:
    """Do what standard input says until it ends."""
    while True:
        endpoint.libHandleEvents(10)
        if not select.select([sys.stdin], [], [], 0)[0]:
            continue
        command = json.loads(sys.stdin.readline() or '{"quit": true}')
        if "quit" in command:
            return
        buddy_configuration = pjsua2.BuddyConfig()
        buddy_configuration.uri = command["send"]
        buddy = pjsua2.Buddy()
        buddy.create(account, buddy_configuration)
        message = pjsua2.SendInstantMessageParam()
        message.contentType, message.content = command["type"], command["body"]
        buddy.sendInstantMessage(message)


def main() -> None:
    endpoint, account = start(json.loads(sys.argv[1]))
    try:
        serve(endpoint, account)
    finally:
        account.shutdown()
        endpoint.libDestroy()


if __name__ == "__main__":
    main()
