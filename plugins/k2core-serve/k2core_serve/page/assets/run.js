// A run as it goes, or as it went: problem, answer, plan, attempts, what it took.
import { announce, fill, h, laidOut } from "./dom.js";
import { Card } from "./card.js";
import { Spending } from "./spending.js";
import { Stages } from "./stages.js";
import { attemptsOf, counted, speaker } from "./text.js";

export class RunView {
  constructor({ live, history, compact = false }) {
    Object.assign(this, { live, history, compact });
    this.cards = new Map();
    this.calls = new Set();
    this.checks = 0;
    this.early = [];
    this.done = 0;
    this.result = null;
    this.id = "";
    this.stages = new Stages();
    this.spending = new Spending();
    this.problem = h("div", { class: "prose problem", hidden: true });
    this.named = (text) => attemptsOf(text, (id) => this.cards.get(id)?.place);
    this.answer = h("section", { class: "answer", "aria-label": "Answer", hidden: true });
    this.planText = h("div", { class: "prose streaming" });
    this.plan = h("details", { class: "panel plan", hidden: true, open: true }, h("summary", {}, "Plan"), this.planText);
    this.grid = h("div", { class: "cards" });
    this.attempts = h("section", { class: "attempts", "aria-label": "Attempts", hidden: true }, h(compact ? "h3" : "h2", {}, "Attempts"), this.grid);
    this.notes = h("ul", { class: "notes", hidden: true });
    this.spent = h("section", { class: "spent", "aria-label": "What it took", hidden: true }, h(compact ? "h3" : "h2", {}, "What it took"), this.spending.node);
    this.node = h("div", { class: compact ? "run compact" : "run" },
      compact ? null : this.problem, this.stages.node, this.answer, this.plan, this.attempts, this.notes, this.spent);
  }

  /** For side by side: what came of it, in figures. */
  get summary() {
    const total = this.spending.total;
    return {
      answer: this.result ? this.result.answer : "", answerNode: () => this.answerNode(), attempts: this.cards.size,
      seconds: this.result ? this.result.seconds : this.stages.elapsed, read: total.prompt_tokens, written: total.completion_tokens, cost: total.cost,
    };
  }

  answerNode() {
    return this.result ? laidOut(this.result.answer) : document.createTextNode(this.trouble || "none");
  }

  begin() {
    if (this.live) this.stages.start();
  }

  finish() {
    this.stages.stop();
    for (const card of this.cards.values()) card.settle();
  }

  apply(event) {
    const act = this[event.kind];
    if (typeof act === "function" && EVENTS.has(event.kind)) act.call(this, event);
  }

  // what happens

  /** The problem, for a place of its own above several runs of it. */
  takeProblem() {
    return this.problem;
  }

  accepted(event) {
    this.id = event.id;
    this.stages.note("");
  }

  refused(event) {
    if (!this.result) this.broke(event.message);
  }

  run_started(event) {
    const turns = event.messages.map((turn) => h("div", { class: "turn" }, h("span", { class: "label" }, speaker(turn.role)), laidOut(turn.html)));
    fill(this.problem, ...(event.html ? [h("span", { class: "label" }, "Problem"), laidOut(event.html)] : turns));
    this.problem.hidden = false;
    this.stages.set("plan", "busy", "starting");
  }

  call_started(event) {
    this.calls.add(event.call_id);
    this.spending.begun(event.role);
    this.spent.hidden = false;
    if (event.role === "plan") {
      this.stages.set("plan", "busy", "being written");
    } else if (event.role === "solve") {
      this.stages.skip("plan", "none");
      for (const name of event.candidates) this.card(name).started();
      this.tellAttempts();
    } else {
      this.stages.set("checks", "busy", "being made");
    }
  }

  delta(event) {
    this.spending.written(event.role, event.tokens);
    if (event.role === "plan" && event.text && !event.reasoning) {
      this.plan.hidden = false;
      this.planText.append(event.text);
    } else if (event.role === "solve" && event.candidate) {
      this.card(event.candidate).write(event.text, event.reasoning, event.tokens, event.at, this.live);
    }
  }

  call_ended(event) {
    this.spending.ended(event.role, event.usage);
    this.calls.delete(event.call_id);
    for (const name of event.candidates) this.card(name).ended(event.status, event.usage, event.error);
  }

  plan_made(event) {
    if (!event.html) {
      this.stages.set("plan", "done", "none");
      this.plan.hidden = true;
      return;
    }
    fill(this.planText, event.topics.length ? h("p", { class: "topics" }, event.topics.map((topic) => h("span", { class: "chip" }, topic))) : null,
      laidOut(event.html));
    this.planText.classList.remove("streaming");
    this.plan.hidden = false;
    this.stages.set("plan", "done", "ready");
    this.tell("The plan is ready.");
  }

  candidate_made(event) {
    const card = this.card(event.candidate.id);
    card.made(event.candidate);
    this.done += 1;
    this.tellAttempts();
    this.tell(`${card.name} is finished.`);
  }

  candidate_failed(event) {
    this.card(event.candidate_id).failed(event.error);
    this.tell(`${this.card(event.candidate_id).name} has failed.`);
  }

  sampler_stopped(event) {
    this.note(`No further attempts were made: ${event.reason}.`);
  }

  verified(event) {
    for (const verdict of event.verdicts) {
      const card = this.cards.get(verdict.candidate_id);
      if (card) card.checked(event.verifier, verdict);
      else this.early.push([event.verifier, verdict]); // of steps on the way, which do not all become attempts
    }
    this.checks += event.verdicts.length;
    this.stages.set("checks", "busy", `${counted(this.checks, "check")} made`);
    this.tell(`${event.verifier} has checked ${counted(event.verdicts.length, "attempt")}.`);
  }

  warned(event) {
    const known = [...this.cards.values()].some((card) => card.trouble && event.message.includes(card.trouble));
    if (!known) this.note(this.named(event.message));
  }

  run_ended(event) {
    this.totals(event.usage, event.result ? event.result.seconds : event.at);
    if (!event.result) {
      this.broke(event.error);
      return;
    }
    this.result = event.result;
    for (const [name, card] of this.cards) card.decided(name === event.result.chosen);
    this.stages.finished(this.checks ? `${counted(this.checks, "check")} made` : "none");
    this.stages.time(event.result.seconds);
    this.showAnswer(event.result);
    this.tell("Decided.");
  }

  showAnswer(result) {
    const chosen = this.cards.get(result.chosen);
    fill(this.answer, h(this.compact ? "h3" : "h2", {}, "Answer"),
      h("div", { class: result.whole ? "prose" : "prose final" }, result.whole && chosen ? chosen.copy() : laidOut(result.answer)),
      h("p", { class: "why" }, h("span", { class: "label" }, "Why this one"), this.named(result.decision)),
      this.live && this.history && this.id ? h("p", { class: "meta" }, h("a", { href: `traces/${encodeURIComponent(this.id)}` }, "Link to this request")) : null);
    this.answer.hidden = false;
  }

  /** It has ended without an answer. */
  broke(message) {
    if (this.result || this.trouble) return;
    this.trouble = { stopped: "Stopped before it was decided.", interrupted: "The server ended before it was decided." }[message] || message;
    const calm = message === "stopped" || message === "interrupted";
    fill(this.answer, h(this.compact ? "h3" : "h2", {}, calm ? "No answer" : "It failed"), h("p", { class: calm ? "" : "trouble" }, this.trouble),
      this.live && this.history && this.id ? h("p", { class: "meta" }, h("a", { href: `traces/${encodeURIComponent(this.id)}` }, "Link to this request")) : null);
    this.answer.classList.add(calm ? "none" : "failed");
    this.answer.hidden = false;
    this.stages.broken(calm ? "stopped" : "failed");
    this.tell(this.trouble);
  }

  totals(usage, time) {
    this.spending.totals(usage);
    this.spent.hidden = !Object.keys(usage).length && !this.calls.size;
    if (!this.live) this.stages.time(time);
  }

  // small help

  card(name) {
    if (!this.cards.has(name)) {
      const card = new Card(name, this.cards.size + 1, this.compact ? "h4" : "h3");
      this.cards.set(name, card);
      this.grid.append(card.node);
      this.grid.dataset.count = this.cards.size;
      this.attempts.hidden = false;
      for (const [verifier, verdict] of this.early) if (verdict.candidate_id === name) card.checked(verifier, verdict);
      this.early = this.early.filter(([, verdict]) => verdict.candidate_id !== name);
    }
    return this.cards.get(name);
  }

  tellAttempts() {
    const all = this.cards.size;
    const done = Math.min(this.done, all);
    this.stages.set("attempts", done === all ? "done" : "busy", `${done} of ${all} finished`);
  }

  note(text) {
    this.notes.hidden = false;
    this.notes.append(h("li", {}, text));
  }

  tell(text) {
    if (this.live) announce(text);
  }
}

const EVENTS = new Set(["accepted", "refused", "run_started", "call_started", "delta", "call_ended", "plan_made", "candidate_made",
  "candidate_failed", "sampler_stopped", "verified", "warned", "run_ended"]);
