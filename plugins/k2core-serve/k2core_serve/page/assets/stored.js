// A stored request in the view of a live one.
import { RunView } from "./run.js";

export function stored(trace, { about, compact = false }) {
  const view = new RunView({ live: false, history: about.history, compact });
  view.begin();
  for (const event of trace.events) view.apply(event);
  if (!trace.events.some((event) => event.kind === "run_ended")) {
    view.broke({ running: "It is still running.", interrupted: "interrupted", stopped: "stopped" }[trace.row.state] || trace.row.error || "Its trace was not kept.");
    view.totals(trace.usage, trace.row.seconds);
  }
  view.finish();
  return view;
}
