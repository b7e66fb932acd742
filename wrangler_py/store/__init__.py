"""SQLite: the state folder's database.

database   opened, migrated; one writer with group commit; readers
schema     the tables and their migrations; the statements stand beside the room that owns a table
sessions   who has the folder open, and the leases of the dead
"""
