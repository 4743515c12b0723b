"""Which of reasoning-gym's families pass the soundness gate, and why the others do not.

    python benchmarks/soundness.py [FAMILY …] [--json]

prints a line for each family, and the counts at the end. All take a few minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time

from k2core_verifier_guru.gym.client import Gate, Gym, version


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", help="by default all")
    parser.add_argument("--json", action="store_true", help="a JSON object a line, with all that was measured")
    arguments = parser.parse_args()
    gym, begun = Gym(workers=1), time.perf_counter()
    try:
        gates = []
        for family in arguments.families or gym.names():
            gates.append(gym.gate(family, {}))
            print(json.dumps(dataclasses.asdict(gates[-1])) if arguments.json else line(gates[-1]), flush=True)
    finally:
        gym.close()
    if not arguments.json:
        summary(gates, time.perf_counter() - begun)


def line(gate: Gate) -> str:
    chance = ", ".join(f"{kind} {share}" for kind, share in (gate.accepted or {}).items()) if gate.sound else ""
    notes = [note for note in (chance and f"by chance: {chance}", "" if gate.entry or gate.faults else "no entry") if note]
    result = f"sound  {gate.generate_ms:8.2f} ms  junk {gate.worst_junk:.2f}" if gate.sound else "REFUSED"
    return f"{gate.family:26} {result}  {gate.why or '; '.join(notes)}".rstrip()


def summary(gates: list[Gate], seconds: float) -> None:
    sound = [gate for gate in gates if gate.sound]
    print(f"\nreasoning-gym {version()}: {len(sound)} of {len(gates)} families are sound, in {seconds:.0f} s")
    print(f"sound, but without references that hold an entry: {sum(not gate.entry for gate in sound)}")
    print(f"sound, but not with partial credit (more than 0.1 for junk): {sum(gate.worst_junk > 0.1 for gate in sound)}")


if __name__ == "__main__":
    main()
