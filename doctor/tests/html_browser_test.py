#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The report's page in headless Chromium: html_browser_test.py PROGRAM, which prints it with --print.

TAP on stdout. Skips where there is no Chromium. The screenshots stay in the current folder.
"""

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# Of blink's preferred colour scheme.
DARK, LIGHT = "0", "1"
SECONDS = 90
WIDTH, HEIGHT = 1100, 2600

count = 0
failed = 0


def ok(condition, name, detail=""):
    global count, failed
    count += 1
    print(f"{'' if condition else 'not '}ok {count} - {name}")
    if not condition:
        failed += 1
        for line in str(detail).splitlines()[:20]:
            print(f"#   {line}")
    sys.stdout.flush()


def browse(browser, page, *options):
    """What the browser wrote, and what it logged."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--hide-scrollbars", "--enable-logging=stderr", "--no-first-run",
            f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}",
            *options, f"file://{page}",
        ]
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    return done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def console(log):
    """Messages of the page's console: blocked requests and errors are among them."""
    return [line for line in log.splitlines() if "CONSOLE" in line]


def requests(path):
    """URLs that left the file system, from a log of the network."""
    with open(path, errors="replace") as log:
        text = log.read()
    return sorted(set(re.findall(r'"url":"((?:https?|wss?|ftp):[^"]*)"', text)))


def pixels(path):
    """Width and rows of bytes, 3 or 4 a pixel, of a PNG as browsers write it: 8 bits, no interlace."""
    with open(path, "rb") as file:
        data = file.read()
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    assert depth == 8 and colour in (2, 6)
    channels = 3 if colour == 2 else 4
    stride, raw, above, rows = width * channels, zlib.decompress(packed), None, []
    above = bytearray(stride)
    for y in range(height):
        start = y * (stride + 1)
        row = unfilter(raw[start], bytearray(raw[start + 1:start + 1 + stride]), above, channels)
        rows.append(row)
        above = row
    return channels, rows


def unfilter(kind, row, above, channels):
    for x in range(len(row)):
        left = row[x - channels] if x >= channels else 0
        up = above[x]
        if kind == 1:
            row[x] = (row[x] + left) & 255
        elif kind == 2:
            row[x] = (row[x] + up) & 255
        elif kind == 3:
            row[x] = (row[x] + (left + up) // 2) & 255
        elif kind == 4:
            corner = above[x - channels] if x >= channels else 0
            guess = left + up - corner
            nearest = min((abs(guess - left), 0, left), (abs(guess - up), 1, up),
                          (abs(guess - corner), 2, corner))[2]
            row[x] = (row[x] + nearest) & 255
        if kind == 0:
            break
    return row


def picture(browser, page, scheme, path):
    """Brightness of the paper at the corner, and how many colours there are."""
    browse(browser, page, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={path}")
    channels, rows = pixels(path)
    colours = set()
    for row in rows[::7]:
        for x in range(0, len(row), channels * 5):
            colours.add(bytes(row[x:x + 3]))
    return sum(rows[2][:3]) / 3, len(colours)


def check_page(browser, page):
    with tempfile.NamedTemporaryFile(suffix=".json") as net:
        dom, log = browse(browser, page, "--dump-dom", f"--log-net-log={net.name}")
        asked = requests(net.name)
    ok("</html>" in dom, "the page loads", log)
    ok(not console(log), "nothing on the console", "\n".join(console(log)))
    ok(not asked, "no request leaves the machine", "\n".join(asked))
    ok('data-id="raw-msi-in-bar"' in dom and 'id="finding-3"' in dom, "the findings are there")
    ok(re.search(r'class="box broken" data-hop="interrupt"', dom), "the broken hop is marked")
    ok('class="box" data-hop="memory"' in dom, "a hop that holds is not")


def check_pictures(browser, page):
    light, colours = picture(browser, page, LIGHT, os.path.abspath("doctor-page-light.png"))
    ok(colours > 40, "the light page isn't blank", f"{colours} colours")
    ok(light > 230, "the light page is light", light)
    dark, colours = picture(browser, page, DARK, os.path.abspath("doctor-page-dark.png"))
    ok(colours > 40, "the dark page isn't blank", f"{colours} colours")
    ok(dark < 60, "the dark page is dark", dark)


def check_print(browser, page):
    path = os.path.abspath("doctor-page.pdf")
    browse(browser, page, "--no-pdf-header-footer", f"--print-to-pdf={path}")
    with open(path, "rb") as file:
        data = file.read()
    ok(data.startswith(b"%PDF") and len(data) > 10000, "it can be printed", len(data))


def check_the_checks(browser, folder):
    """Would a page that asks for something, or complains, be noticed?"""
    page = os.path.join(folder, "bad.html")
    with open(page, "w") as file:
        file.write('<img src="http://127.0.0.1:9/x.png"><script>console.error("oh")</script>')
    with tempfile.NamedTemporaryFile(suffix=".json") as net:
        _, log = browse(browser, page, "--dump-dom", f"--log-net-log={net.name}")
        ok(console(log), "a message on the console would be noticed", log)
        ok(requests(net.name), "a request would be noticed")


def main():
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        print("1..0 # SKIP no Chromium on this machine")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        page = os.path.join(folder, "report.html")
        with open(page, "wb") as file:
            subprocess.run([os.path.abspath(sys.argv[1]), "--print"], stdout=file, timeout=30, check=True)
        check_page(browser, page)
        check_pictures(browser, page)
        check_print(browser, page)
        check_the_checks(browser, folder)
    print(f"1..{count}")
    return 1 if failed else 0


sys.exit(main())
