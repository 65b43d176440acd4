"""The sections of the configuration: every setting, its default, and the sentence that documents it.

In Settings durations are seconds and sizes bytes.
"""

# ruff: noqa: RUF009 - `documented` makes dataclass fields, which is what the rule cannot see

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

MEMORY: Final = ":memory:"
"""The store's path when nothing shall be kept."""

Duration = Annotated[float, "duration"]
"""Seconds, above 0."""
Size = Annotated[int, "size"]
"""Bytes, above 0."""
Count = Annotated[int, "count"]
"""A whole number, above 0."""
Port = Annotated[int, "port"]
"""0 to 65535; 0 lets the system choose."""
Seconds = Annotated[float, "seconds"]
"""A plain number of seconds, above 0."""
Algorithm = Literal["MD5", "SHA-256", "SHA-512-256"]

T = TypeVar("T")


def documented(default: T, sentence: str, *, follows: str = "") -> T:
    """A dataclass field with its sentence. An empty value takes that of the field `follows` names."""
    field: T = dataclasses.field(default=default, metadata={"sentence": sentence, "follows": follows})
    return field


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """What every section does when it is made: fill in what follows another field."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            follows = field.metadata.get("follows")
            if follows and not getattr(self, field.name):
                object.__setattr__(self, field.name, getattr(self, follows))


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings(_Section):
    """Who runs this node."""

    name: str = documented("Demo", "The operator's name, as people may read it.")
    domain: str = documented("joyn.localhost", "The SIP domain of the subscribers.")
    country: str = documented("FR", "ISO 3166 code of the country whose way of writing numbers is home.")
    theme: str = documented("", "Brand of the web client: orange, sfr or another that it knows; joyn's own if empty.")
    extra_domains: tuple[str, ...] = documented((), "Other SIP domains that mean this operator.")
    data: Path = documented(Path("data"), "Directory of everything the node keeps, relative to this file.")
    realm: str = documented(
        "", "Digest realm; the domain if empty. Stored credentials hold for one realm.", follows="domain"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SipListener(_Section):
    """One address where SIP is spoken."""

    name: str = documented("udp", "What logs and bindings call it; no two are called the same.")
    transport: Literal["udp", "tcp", "tls"] = documented("udp", "udp, tcp or tls.")
    host: str = documented("127.0.0.1", "Address to listen on.")
    port: Port = documented(5060, "Port to listen on; 0 lets the system choose.")
    access: Literal["digest", "trusted"] = documented(
        "digest",
        "digest: every device proves itself. trusted: their access network has done so.",
    )
    algorithms: tuple[Algorithm, ...] = documented(
        (), "Digest algorithms offered here, best first; empty: each subscriber's."
    )
    advertise: str = documented("", "Host written into Via and Contact; the host above if empty.", follows="host")
    certificate: Path | None = documented(
        None, "PEM file of the certificate and its chain (tls), relative to this file."
    )
    key: Path | None = documented(None, "PEM file of the private key (tls), relative to this file.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SipSettings(_Section):
    """SIP: the signalling of devices."""

    max_connections: Count = documented(20_000, "TCP and TLS connections at a time; more are turned away.")
    max_connections_per_source: Count = documented(2_000, "Of these, from one address.")
    max_body: Size = documented(64 << 10, "Largest body of a request; larger ones get 513.")
    max_write_buffer: Size = documented(256 << 10, "What may wait for a slow reader before its connection is cut.")
    idle_timeout: Duration = documented(32.0, "How long a connection may take to send its first whole request.")
    max_in_flight: Count = documented(20_000, "Requests being worked on at a time; more get 503.")
    max_in_flight_per_flow: Count = documented(100, "Of these, from one flow.")
    flow_timer: Duration = documented(120.0, "How often devices shall send keep-alives (RFC 5626 Flow-Timer).")
    t1: Seconds = documented(0.5, "RFC 3261 timer T1, the estimated round trip, in seconds.")
    t2: Seconds = documented(4.0, "RFC 3261 timer T2, the longest interval between retransmissions, in seconds.")
    t4: Seconds = documented(5.0, "RFC 3261 timer T4, how long a message stays in the network, in seconds.")
    listeners: tuple[SipListener, ...] = documented(
        (SipListener(name="udp", transport="udp"), SipListener(name="tcp", transport="tcp")), "Where SIP is spoken."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MsrpListener(_Section):
    """One address where MSRP is spoken."""

    name: str = documented("tcp", "What logs call it; no two are called the same.")
    transport: Literal["tcp", "tls"] = documented("tcp", "tcp or tls.")
    host: str = documented("127.0.0.1", "Address to listen on.")
    port: Port = documented(2855, "Port to listen on; 0 lets the system choose.")
    advertise: str = documented("", "Host written into the session's path; the host above if empty.", follows="host")
    certificate: Path | None = documented(
        None, "PEM file of the certificate and its chain (tls), relative to this file."
    )
    key: Path | None = documented(None, "PEM file of the private key (tls), relative to this file.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MsrpSettings(_Section):
    """MSRP: the chat sessions of devices."""

    max_message: Size = documented(1 << 20, "Largest message of a session; larger ones get 413.")
    max_connections: Count = documented(20_000, "Connections at a time; more are turned away.")
    session_idle: Duration = documented(300.0, "A session without a message for so long is ended.")
    timeout: Duration = documented(30.0, "How long a device may take to answer a chunk (RFC 4975 §7.1).")
    listeners: tuple[MsrpListener, ...] = documented((MsrpListener(),), "Where MSRP is spoken.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpListener(_Section):
    """One address where HTTP is spoken."""

    name: str = documented("http", "What logs call it; no two are called the same.")
    transport: Literal["http", "https"] = documented("http", "http or https.")
    host: str = documented("127.0.0.1", "Address to listen on.")
    port: Port = documented(8080, "Port to listen on; 0 lets the system choose.")
    advertise: str = documented("", "Host that browsers reach it at; the host above if empty.", follows="host")
    certificate: Path | None = documented(
        None, "PEM file of the certificate and its chain (https), relative to this file."
    )
    key: Path | None = documented(None, "PEM file of the private key (https), relative to this file.")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings(_Section):
    """HTTP: the web client, auto-configuration, and SIP and MSRP over WebSocket."""

    max_connections: Count = documented(20_000, "Connections at a time; more are turned away.")
    max_connections_per_source: Count = documented(2_000, "Of these, from one address.")
    origins: tuple[str, ...] = documented((), "Origins of other sites whose pages may open WebSockets here.")
    trusted_proxies: tuple[str, ...] = documented(
        (), "Networks of front proxies, whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    frame_ancestors: tuple[str, ...] = documented((), "Origins that may show the page in a frame; for demos.")
    listeners: tuple[HttpListener, ...] = documented((), "Where HTTP is spoken.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSettings(_Section):
    """The content server: photos and files (RCC.07 §3.5.4.8). Without listeners there is none."""

    url: str = documented(
        "", "Where clients reach it, as https://host[:port]; made of the https listener, or the first, if empty."
    )
    accel: str = documented(
        "", "Path that a front proxy of http.trusted_proxies serves DIRECTORY/blobs at, for X-Accel-Redirect; or none."
    )
    directory: Path = documented(Path("files"), "Where files are kept, relative to operator.data.")
    max_file: Size = documented(100 << 20, "Largest file.")
    warn_above: Size = documented(10 << 20, "Size from which phones ask before they send or fetch.")
    max_thumbnail: Size = documented(256 << 10, "Largest thumbnail that a sender may add.")
    quota: Size = documented(2 << 30, "Room for the files of one subscriber.")
    total: Size = documented(100 << 30, "Room for the files of all.")
    keep: Duration = documented(30 * 86400.0, "How long a file can be fetched.")
    thumbnails: bool = documented(
        True,
        "Decode pictures, in a process of its own each: thumbnails where senders sent none, JPEG of HEIC and TIFF.",
    )
    thumbnail_wait: Duration = documented(
        2.0, "How long the answer to an upload waits for its thumbnail; phones wait 5s for the answer."
    )
    picture_pixels: Count = documented(64_000_000, "Pixels of the largest picture that is decoded.")
    picture_memory: Size = documented(512 << 20, "Memory that decoding one may take.")
    picture_seconds: Count = documented(15, "Seconds of CPU that decoding one may take.")
    pictures_at_once: Count = documented(2, "Pictures that are decoded at a time.")
    scanner: str = documented(
        "",
        "Virus scanner that sees every upload: clamd:/path of its socket, clamd://host:port, or icap://host:port/service."
        " Files are not scanned if empty.",
    )
    scanner_required: bool = documented(
        True, "Without the scanner's verdict uploads wait (503); if false they are taken, and counted as unscanned."
    )
    scanner_timeout: Duration = documented(60.0, "How long the scanner may take for one file.")
    upload_for: Duration = documented(2 * 86400.0, "How long an upload that was cut can be gone on with.")
    transfers: Count = documented(128, "Files on their way over MSRP at a time, as many each way.")
    transfers_per_device: Count = documented(4, "Those of one device; further ones get 486, or wait.")
    transfer_idle: Duration = documented(60.0, "A transfer over MSRP of which nothing comes for so long is ended.")
    listeners: tuple[HttpListener, ...] = documented((), "Where files are sent to and fetched; ports of their own.")


@dataclass(frozen=True, slots=True, kw_only=True)
class InterconnectListener(_Section):
    """One address where peer operators come, over TLS with certificates on both sides."""

    name: str = documented("peers", "What logs call it; no two are called the same.")
    host: str = documented("127.0.0.1", "Address to listen on.")
    port: Port = documented(5062, "Port to listen on; 0 lets the system choose.")
    advertise: str = documented("", "Host that peers reach it at; the host above if empty.", follows="host")

    # Not a choice: what certificate is shown there is the interconnect's own.
    transport: ClassVar[Literal["tls"]] = "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class InterconnectMedia(InterconnectListener):
    """One address where peer operators bring chat sessions, over TLS with certificates on both sides."""

    port: Port = documented(2857, "Port to listen on; 0 lets the system choose.")


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRange(_Section):
    """Numbers that begin so are an operator's, unless they were ported or ENUM says otherwise."""

    prefix: str = documented("", "What the numbers begin with, as +3363998; the longest of several that fit wins.")
    operator: str = documented("", "The operator's SIP domain.")


@dataclass(frozen=True, slots=True, kw_only=True)
class InterconnectSettings(_Section):
    """Peer operators (IR.90, TS 29.165). Without listeners there are none. `joyn peer` exchanges the files."""

    name: str = documented("", "What peers call this operator; operator.name if empty.")
    own_ranges: tuple[str, ...] = documented((), "What this operator's numbers begin with, as +33639; told to peers.")
    rate: Count = documented(1000, "Requests a second that one peer may send; more get 503.")
    queue: Count = documented(100_000, "What may wait for one peer; senders are refused what is more.")
    keep_for: Duration = documented(7 * 86400.0, "How long what is due to a peer waits for it; then it has failed.")
    connections: Count = documented(2, "Connections held to each peer.")
    file_policy: Literal["localise", "direct"] = documented(
        "localise", "Of new peers. localise: their files come through our content server. direct: devices fetch them."
    )
    files_quota: Size = documented(20 << 30, "Room in our content server for the files of one peer's subscribers.")
    fetches: Count = documented(16, "Files that are fetched from peers at a time.")
    fetches_per_peer: Count = documented(4, "Of these, from one peer.")
    certificate_for: Duration = documented(397 * 86400.0, "How long a certificate that is made for peers holds.")
    topology: Path | None = documented(
        None, "TOML file of operators, countries and their number ranges, relative to this file (joyn topology show)."
    )
    dns: tuple[str, ...] = documented(
        (), "DNS servers (address, or address:port) that know where operators are; the system's if empty."
    )
    ranges: tuple[NumberRange, ...] = documented(
        (), "Others' ranges, besides those of the topology and those that peers say are theirs."
    )
    listeners: tuple[InterconnectListener, ...] = documented((), "Where peers speak SIP.")
    media: tuple[InterconnectMedia, ...] = documented((), "Where peers speak MSRP.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrarSettings(_Section):
    """Registrations (RFC 3261 §10, RFC 5626, RFC 5627)."""

    min_expires: Duration = documented(60.0, "Shortest registration; shorter ones get 423.")
    max_expires: Duration = documented(3600.0, "Longest registration; longer ones are shortened.")
    default_expires: Duration = documented(3600.0, "For devices that ask for nothing.")
    max_bindings: Count = documented(10, "Devices one subscriber may have registered.")
    gruu: bool = documented(True, "Whether devices get a GRUU, an address of their own.")


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagingSettings(_Section):
    """Messages and their mailboxes."""

    deliver_for: Duration = documented(
        30 * 86400.0, "How long an undelivered message waits; caps what the sender asks for."
    )
    retain_for: Duration = documented(
        90 * 86400.0, "How long messages are kept for the history of their owner's devices."
    )
    pager_limit: Size = documented(1300, "Largest MESSAGE body to a device that did not say it takes more.")
    queue_per_device: Count = documented(64, "Entries of a mailbox read ahead for one device.")
    sweep_every: Duration = documented(30.0, "How often expired messages are failed and old ones deleted.")
    cursor_idle: Duration = documented(30 * 86400.0, "A device away for so long starts again as a new one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningSettings(_Section):
    """How devices are set up: auto-configuration (RCC.14) and signing in with a code."""

    mcc: str = documented("", "Mobile country code, for the name of the configuration host; none without it.")
    mnc: tuple[str, ...] = documented((), "Mobile network codes, with the country code.")
    version: Count = documented(1, "Version of the configuration; raise it when phones shall fetch it anew.")
    validity: Duration = documented(7 * 86400.0, "How long a configuration holds before phones ask again.")
    token_validity: Duration = documented(30 * 86400.0, "How long a phone may fetch it without a new code.")
    credentials_for: Duration = documented(2 * 3600.0, "How long a browser's SIP password is good for.")
    rollout: Literal["native", "beta"] = documented(
        "beta", "native: clients of native_vendors alone. beta: downloadable ones too."
    )
    native_vendors: tuple[str, ...] = documented((), "client_vendor of the clients that are built into phones.")
    catalogue: Path | None = documented(
        None, "TOML file that says which devices are ready ([[device]] tables), relative to this file."
    )
    parameters: tuple[str, ...] = documented(
        (), 'Own values, as "[PROFILE] NODE/name = value", like "UP_2.4 MESSAGING/Chat/TimerIdle = 180".'
    )
    terms_title: str = documented("", "Title of the terms that users accept first; without terms there are none.")
    terms: str = documented("", "The terms themselves.")
    msisdn_header: str = documented("", "Header in which the access network's proxy says the number.")
    trusted_proxies: tuple[str, ...] = documented(
        (), "Networks of proxies that write msisdn_header and let no client's through; not those of http."
    )
    told_per_minute: Count = documented(
        60, "Phones in a minute that are told by SMS to ask again, when version or catalogue have changed."
    )
    code_tries: Count = documented(3, "Tries for one code; then the number is locked.")
    code_valid_for: Duration = documented(600.0, "How long a code may be used.")
    code_locked_for: Duration = documented(600.0, "How long a number is locked after too many tries.")
    codes_per_hour: Count = documented(5, "Codes that one number may be sent in an hour.")
    codes_per_source: Count = documented(30, "Codes in an hour for all that one address asks for.")
    questions_per_source: Count = documented(
        300, "Questions in an hour that one address may ask about numbers which can have no code."
    )
    codes_per_minute: Count = documented(600, "Codes in a minute for all numbers together.")
    code_text: str = documented("{code} is your code for {operator}. Give it to nobody.", "The SMS with a code.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnumSettings(_Section):
    """ENUM (RFC 6116): DNS that says whose a number is. Without servers it is not asked."""

    servers: tuple[str, ...] = documented(
        (), "DNS servers (address, or address:port), the one that answered last is asked first."
    )
    root: str = documented("e164enum.net", "Domain under which numbers stand.")
    timeout: Duration = documented(2.0, "How long a server may take; two are asked, or the only one twice.")
    max_ttl: Duration = documented(
        3600.0, "Longest time that an answer is believed, whatever it says itself: how soon a porting is seen."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsSettings(_Section):
    """How SMS leave."""

    outbox: Path = documented(
        Path("sms-outbox.jsonl"), "File that shows what would be sent (joyn sms outbox), relative to operator.data."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PushSettings(_Section):
    """Waking devices that are not connected (RFC 8030, RFC 8599)."""

    hosts: tuple[str, ...] = documented(
        ("fcm.googleapis.com", "*.push.services.mozilla.com", "*.notify.windows.com", "web.push.apple.com"),
        "Push services that may be written to; *.domain means all its hosts. None: nobody is woken.",
    )
    contact: str = documented(
        "", "mailto: or https: address that push services get; postmaster of the domain if empty."
    )
    wait: Duration = documented(10.0, "How long a woken device may take before its message counts as stored.")
    pause: Duration = documented(5.0, "How long a woken device is left alone before it is woken again.")
    keep: Duration = documented(86400.0, "How long a push service shall try to reach a device that is off.")
    insecure: bool = documented(False, "Allow http, all ports and private addresses: for tests and demos only.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings(_Section):
    """The database."""

    path: str = documented("joyn.db", 'SQLite file, relative to operator.data; ":memory:" keeps nothing.')


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings(_Section):
    """The door the command line uses while the node runs."""

    socket: Path = documented(Path("admin.sock"), "Unix socket, relative to operator.data; only its owner may use it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings(_Section):
    """What the node writes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = documented(
        "info", "debug, info, warning or error; debug has a line per message."
    )
    format: Literal["text", "json"] = documented("text", "text, or json: one object a line.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All of it. `at` makes the paths absolute; `load` has done so."""

    operator: OperatorSettings = OperatorSettings()
    sip: SipSettings = SipSettings()
    msrp: MsrpSettings = MsrpSettings()
    http: HttpSettings = HttpSettings()
    files: FilesSettings = FilesSettings()
    interconnect: InterconnectSettings = InterconnectSettings()
    registrar: RegistrarSettings = RegistrarSettings()
    messaging: MessagingSettings = MessagingSettings()
    provisioning: ProvisioningSettings = ProvisioningSettings()
    enum: EnumSettings = EnumSettings()
    sms: SmsSettings = SmsSettings()
    push: PushSettings = PushSettings()
    store: StoreSettings = StoreSettings()
    admin: AdminSettings = AdminSettings()
    log: LogSettings = LogSettings()

    @property
    def store_path(self) -> Path | None:
        """The database file, or None for one in memory."""
        return None if self.store.path == MEMORY else self.operator.data / self.store.path

    @property
    def sms_outbox(self) -> Path:
        """The outbox's file."""
        return self.operator.data / self.sms.outbox

    @property
    def files_directory(self) -> Path:
        """Where the content server keeps its files."""
        return self.operator.data / self.files.directory

    @property
    def interconnect_directory(self) -> Path:
        """Where the certificates and keys shown to peer operators lie."""
        return self.operator.data / "interconnect"

    @property
    def files_url(self) -> str:
        """Where clients reach the content server; empty when there is none, or the system chooses its port."""
        if self.files.url or not self.files.listeners:
            return self.files.url
        # Phones of the Universal Profile take https alone.
        one = min(self.files.listeners, key=lambda listener: listener.transport != "https")
        host = f"[{one.advertise}]" if ":" in one.advertise else one.advertise
        return f"{one.transport}://{host}:{one.port}" if one.port else ""

    @property
    def listening(self) -> dict[str, int]:
        """How many listeners of each kind there are; those of `interconnect` are for SIP and MSRP together."""
        i = self.interconnect
        return {
            "sip": len(self.sip.listeners),
            "msrp": len(self.msrp.listeners),
            "http": len(self.http.listeners),
            "files": len(self.files.listeners),
            "interconnect": len(i.listeners) + len(i.media),
        }

    @property
    def admin_socket(self) -> Path:
        """The admin door's socket."""
        return self.operator.data / self.admin.socket

    def at(self, directory: Path) -> Settings:
        """The same with every path absolute, read from `directory`, the one the file lies in."""
        base = directory.absolute()
        placed = dataclasses.replace(self, operator=dataclasses.replace(self.operator, data=base / self.operator.data))
        return dataclasses.replace(
            placed,
            sip=dataclasses.replace(self.sip, listeners=tuple(_placed(one, base) for one in self.sip.listeners)),
            msrp=dataclasses.replace(self.msrp, listeners=tuple(_placed(one, base) for one in self.msrp.listeners)),
            http=dataclasses.replace(self.http, listeners=tuple(_placed(one, base) for one in self.http.listeners)),
            files=dataclasses.replace(
                self.files,
                directory=placed.files_directory,
                listeners=tuple(_placed(one, base) for one in self.files.listeners),
            ),
            store=dataclasses.replace(self.store, path=str(placed.store_path or MEMORY)),
            admin=dataclasses.replace(self.admin, socket=placed.admin_socket),
            sms=dataclasses.replace(self.sms, outbox=placed.sms_outbox),
            interconnect=dataclasses.replace(
                self.interconnect, topology=self.interconnect.topology and base / self.interconnect.topology
            ),
            provisioning=dataclasses.replace(
                self.provisioning, catalogue=self.provisioning.catalogue and base / self.provisioning.catalogue
            ),
        )


def _placed(listener: Any, base: Path) -> Any:
    certificate, key = (path and base / path for path in (listener.certificate, listener.key))
    return dataclasses.replace(listener, certificate=certificate, key=key)
