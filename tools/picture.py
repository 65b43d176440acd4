"""Draws docs/pictures: plays the demo on real nodes, and keeps the terminal's last frame and a look at the page."""

from __future__ import annotations

import asyncio
import io
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from joyn.cli.demo.cast import CAMILLE, DENIS, two_operators
from joyn.cli.demo.operator import Company, running
from joyn.cli.demo.scene import Scene
from joyn.cli.demo.screen import WIDTH, frame
from joyn.cli.demo.story import Story, on_stage, screens

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
HEIGHT = 25
BEAT = 0.8
FONT = "ui-monospace, 'SF Mono', 'Cascadia Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace"
THEME = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [(72, 79, 88), (255, 123, 114), (86, 211, 100), (227, 179, 65), (121, 192, 255), (210, 168, 255), (86, 212, 221),
     (177, 186, 196)],
)  # fmt: skip
PAGE = {"width": 1340, "height": 870}
SEA = """async () => {
    const canvas = new OffscreenCanvas(1200, 600), draw = canvas.getContext("2d");
    const band = (from, to, colours) => {
        draw.fillStyle = draw.createLinearGradient(0, from, 0, to);
        colours.forEach((one, at) => draw.fillStyle.addColorStop(at / (colours.length - 1), one));
        draw.fillRect(0, from, 1200, to - from);
    };
    band(0, 380, ["#5b7fb4", "#f2b98a", "#f8d9a8"]);
    draw.fillStyle = "#fff3d0";
    draw.beginPath(); draw.arc(860, 330, 60, 0, 7); draw.fill();
    band(380, 600, ["#c98f6e", "#2c5673", "#173a52"]);
    draw.fillStyle = "#fdfaf3";
    draw.beginPath(); draw.moveTo(420, 130); draw.lineTo(420, 400); draw.lineTo(250, 400); draw.fill();
    draw.beginPath(); draw.moveTo(440, 180); draw.lineTo(440, 400); draw.lineTo(560, 400); draw.fill();
    draw.fillStyle = "#7a2f24";
    draw.beginPath(); draw.moveTo(230, 415); draw.lineTo(590, 415); draw.lineTo(530, 475); draw.lineTo(290, 475);
    draw.fill();
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.9 });
    return [...new Uint8Array(await blob.arrayBuffer())];
}"""
"""A photo: a boat before the sun."""
CHAT = (
    (CAMILLE, "The boat leaves at nine, shall we?"),
    (DENIS, "I'll be at the quay at half past eight"),
    (DENIS, "Shall I bring coffee?"),
    (CAMILLE, "Please! ☕"),
)


def drawn(scene: Scene) -> str:
    """The scene as SVG, with fonts that every system has: pictures in a README load nothing from elsewhere."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(frame(scene, width=WIDTH, height=HEIGHT))
    svg = console.export_svg(title="make demo", theme=THEME, unique_id="demo")
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return re.sub(r"font-family: (Fira Code|arial).*?;", f"font-family: {FONT};", svg)


async def photograph(company: Company, file: Path) -> None:
    """The page after Camille and Denis have signed in and chatted, while Denis types."""
    from playwright.async_api import async_playwright

    assert company.stage is not None
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = await browser.new_page(viewport=PAGE, locale="en-GB")
        await page.goto(company.stage.url)
        phones = {number: await _signed_in(page, place, number) for place, number in enumerate((CAMILLE, DENIS))}
        for number, other in ((CAMILLE, DENIS), (DENIS, CAMILLE)):
            await phones[number].goto(f"{phones[number].url.partition('/sign-in')[0].rstrip('/')}/c/{other}")
        photo = {"name": "boat.jpg", "mimeType": "image/jpeg", "buffer": bytes(await page.evaluate(SEA))}
        await phones[CAMILLE].locator("input[type=file]").first.set_input_files(photo)
        await phones[CAMILLE].get_by_role("dialog").get_by_role("button", name="Send ·").click()
        await phones[DENIS].get_by_role("button", name="Open boat.jpg").wait_for()
        for number, text in CHAT:
            composer = phones[number].get_by_role("textbox", name="Message")
            await composer.fill(text)
            await composer.press("Enter")
            for phone in phones.values():
                await phone.get_by_role("article", name=text).wait_for()
        # Ticks are said to screen readers in words.
        await phones[CAMILLE].get_by_role("article", name=re.compile("Please.*Read")).wait_for()
        await phones[DENIS].get_by_role("textbox", name="Message").press_sequentially("See you th", delay=30)
        await phones[CAMILLE].locator("main header").get_by_text("typing").wait_for()
        await page.mouse.move(0, 0)  # over no message, which would show what can be done with it
        await page.screenshot(path=file)
        await browser.close()


async def _signed_in(page: Any, place: int, number: str) -> Any:
    """The frame of a phone, signed in with the code that is on the page."""
    await page.locator("iframe").nth(place).wait_for()
    handle = await page.locator("iframe").nth(place).element_handle()
    phone = await handle.content_frame()
    await phone.get_by_label("Mobile number").fill(number)
    await phone.get_by_role("button", name="Text me a code").click()
    code = page.locator("#texts li").filter(has_text=f"{number[-2:]} ·").first.locator("strong")
    await phone.get_by_label("6-digit code").fill(await code.inner_text())
    await phone.get_by_role("heading", name="Chats").wait_for()
    return phone


async def play() -> None:
    """The whole conversation, in a directory that is thrown away; then the page."""
    with tempfile.TemporaryDirectory() as directory:
        async with running(two_operators(), Path(directory), "127.0.0.1") as company:
            scene = Scene(screens(company))
            async with on_stage(company, scene, BEAT) as actors:
                await Story(actors, scene, BEAT, interconnected=company.interconnected).play()
                (PICTURES / "demo.svg").write_text(drawn(scene), "utf-8")
                await photograph(company, PICTURES / "page.png")


def main() -> int:
    """Play, draw, write."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    asyncio.run(play())
    return 0


if __name__ == "__main__":
    sys.exit(main())
