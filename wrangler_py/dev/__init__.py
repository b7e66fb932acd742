"""One `wpy dev` on a terminal: its port, its lines, its keys, its eye on the files. What runs is the emulator (session/).

session   starts and ends it, and says what a saved file or a changed config leads to
watch     -> inotify, which files have changed
terminal, banner, advice  what it prints; style: in which colours
"""
