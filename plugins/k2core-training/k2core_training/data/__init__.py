"""From files of chats to token sequences on the disk. No torch in here."""
