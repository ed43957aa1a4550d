"""The demo's mail server writes every mail that it gets to a file of its own, and delivers nothing."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from pathlib import Path

from rollover_demo.mail_server import HOST, NOTICE, MailServer


def mail(notice: str | None) -> EmailMessage:
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = "Hello", "a@one.example", "b@two.example"
    if notice:
        made[NOTICE] = notice
    made.set_content("Grüße")
    return made


def test_each_mail_is_a_file_with_a_name_that_says_what_it_is(tmp_path: Path) -> None:
    server = MailServer(tmp_path / "mail").start()
    try:
        with smtplib.SMTP(HOST, server.port) as client:
            for notice in ("certified; hero__springfield-il; district_it", "../../evil; x", None):
                client.send_message(mail(notice))
    finally:
        server.stop()
    names = [path.name for path in sorted((tmp_path / "mail").iterdir())]
    assert names == ["0001-certified-hero__springfield-il-district_it.eml", "0002-evil-x.eml", "0003-mail.eml"]
    assert all(b"Subject: Hello" in (tmp_path / "mail" / name).read_bytes() for name in names)
