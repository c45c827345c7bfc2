"""Figures: the values of some runs, and how they are printed."""
import statistics
import sys


class Values:
    """What some runs gave, one value each."""

    def __init__(self, values=()):
        self.values = list(values)

    def add(self, value):
        self.values.append(value)

    def clear(self):
        self.values.clear()

    def text(self):
        if not self.values:
            return "none"
        median = statistics.median(self.values)
        if len(self.values) == 1:
            return number(median)
        return f"{number(median)} [{number(min(self.values))} .. {number(max(self.values))}]"


def number(value):
    """Three digits that say something, and no more of them than that."""
    magnitude = abs(value)
    if magnitude >= 100 or value == int(value):
        return f"{value:,.0f}"
    if magnitude >= 10:
        return f"{value:.1f}"
    if magnitude >= 1:
        return f"{value:.2f}"
    return f"{value:.3f}"


class Printer:
    def __init__(self, markdown):
        self.markdown = markdown

    def title(self, text):
        if not self.markdown:
            print(f"\n== {text}")
        else:
            print(f"... {text}", file=sys.stderr)
        sys.stdout.flush()

    def compare(self, name, unit, a_name, a, b_name, b, aim="", ratio="b/a"):
        """Two sides; `ratio` says which way round, or "b-a" for a difference. Neighbouring runs make a pair."""
        pairs = list(zip(a.values, b.values))
        if ratio == "b-a":
            what, between = "added", Values(right - left for left, right in pairs)
        elif ratio == "a/b":
            what, between = "ratio A/B", Values(left / right for left, right in pairs)
        else:
            what, between = "ratio B/A", Values(right / left for left, right in pairs)
        if self.markdown:
            self._row(name, unit, f"{a_name}: {a.text()}", f"{b_name}: {b.text()}", f"{what} {between.text()}", aim)
            return
        print(f"{name}, {unit}")
        print(f"  A {a_name:<34} {a.text()}")
        print(f"  B {b_name:<34} {b.text()}")
        print(f"    {what:<34} {between.text()}" + (f"    aim: {aim}" if aim else ""))
        sys.stdout.flush()

    def single(self, name, unit, values, aim="", reached=None):
        """A figure that is compared with its aim alone. `reached`: None says nothing of that."""
        if reached is not None:
            aim += ": reached" if reached else ": MISSED"
        if self.markdown:
            self._row(name, unit, "", values.text(), "", aim)
            return
        print(f"{name + (', ' + unit if unit else ''):<60} {values.text():<26}" + (f" aim: {aim}" if aim else ""))
        sys.stdout.flush()

    def note(self, text):
        if self.markdown:
            print(text, file=sys.stderr)
        else:
            print(f"  ({text})")
        sys.stdout.flush()

    @staticmethod
    def _row(*cells):
        name, unit, *rest = cells
        print("| " + " | ".join([f"{name}, {unit}", *rest]) + " |")
        sys.stdout.flush()
