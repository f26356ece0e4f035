"""A chat backend that records its turns with Agnost's SDK, as its user writes it; nothing in it knows of Parley.

    python agnost_backend.py '{"endpoint": "http://…", "key": "pk_…", "calls": [["track", {…}], ["identify", {…}], …]}'

Calls are `track`, `identify` and `turn` (begin and end, with the end's arguments under "end"). Prints what each one answered.
"""

import json
import sys

import agnost

options = json.loads(sys.argv[1])
agnost.init(options["key"], endpoint=options["endpoint"])
answers = []
for name, arguments in options["calls"]:
    if name == "turn":
        end = arguments.pop("end")
        answers.append(agnost.begin(**arguments).end(**end))
    else:
        answers.append(getattr(agnost, name)(**arguments))
agnost.flush()
agnost.shutdown()
print(json.dumps(answers))
