// Figures and names as people read them.

const whole = new Intl.NumberFormat("en");
const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const counted = (n, one, many = `${one}s`) => `${whole.format(Math.round(n))} ${Math.round(n) === 1 ? one : many}`;
export const number = (n) => whole.format(Math.round(n));
export const seconds = (s) => (s < 1 ? `${Math.round(s * 1000)} ms` : s < 60 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`);
export const cost = (c) => (c ? c.toPrecision(2) : "0");
export const date = (unix) => dates.format(new Date(unix * 1000));
export const percent = (score) => `${Math.round(score * 100)} %`;

const ROLES = { plan: "Planning", solve: "Solving", verify: "Checking", judge: "Judging", draft: "Drafting" };
export const role = (name) => ROLES[name] || name;

const SPEAKERS = { system: "Instructions", user: "Asked", assistant: "Answered before", tool: "From a tool" };
export const speaker = (name) => SPEAKERS[name] || name;

const STATES = { running: "Running", answered: "Answered", stopped: "Stopped", failed: "Failed", interrupted: "Interrupted" };
export const STATE_NAMES = STATES;
export const state = (name) => STATES[name] || name;

const VERDICTS = { correct: "Correct", incorrect: "Wrong", undecided: "Undecided", unparsed: "No answer found", error: "Could not check" };
export const verdict = (status) => VERDICTS[status] || status;

const FINISHES = { length: "ended at the length limit", filter: "cut by a content filter", tool: "wants to call a tool" };
export const finish = (name) => FINISHES[name] || "";

/** A sentence of the kernel's, in which candidates have ids, with the attempts as they are numbered on the page. */
export function attemptsOf(text, place) {
  const numbered = (ids) => {
    const places = ids.split(", ").map(place);
    return places.every(Boolean) ? places.join(", ") : "";
  };
  const told = text.replace(/\b(candidates?|vetoed:) ((?:[^\s,;:]+, )*[^\s,;:]+)/g, (all, word, ids) =>
    (numbered(ids) ? `${word.replace("candidate", "attempt")} ${numbered(ids)}` : all));
  return told.charAt(0).toUpperCase() + told.slice(1);
}
