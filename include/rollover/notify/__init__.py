"""Who is notified of what, and when: each notice once, by mail and, where configured, by chat."""
