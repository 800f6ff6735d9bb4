"""Fills every writable place, first with bytes and then with empty files; prints how much it wrote."""

import json
import os

answers = {}
for folder in ("/workspace", "/tmp", "/dev/shm"):
    size, path = 0, folder + "/flood"
    try:
        with open(path, "wb", buffering=0) as file:
            while size < 2_000_000_000:
                size += file.write(b"x" * 1_000_000)
    except OSError as error:
        answers[folder] = [size, error.strerror]
    os.unlink(path)
for folder in ("/workspace", "/tmp"):
    count = 0
    try:
        while count < 100_000:
            os.close(os.open(f"{folder}/f{count}", os.O_CREAT))
            count += 1
    except OSError as error:
        answers["files in " + folder] = [count, error.strerror]
print(json.dumps(answers))
