// One attempt: its text as it is written, its reasoning folded away, and what the checks say of it.
import { fill, h, laidOut } from "./dom.js";
import { counted, finish, number, percent, verdict as named } from "./text.js";

const KIND = { correct: "good", incorrect: "bad", unparsed: "doubt", error: "doubt" };

export class Card {
  constructor(id, place, heading) {
    this.name = `Attempt ${place}`;
    this.place = place;
    this.state = "waiting";
    this.tokens = 0;
    this.pending = { text: "", reasoning: "" };
    this.chip = h("span", { class: "chip" }, "Waiting");
    this.id = /^\d*$/.test(id) ? "" : id; // a bare number says less than the place
    this.meta = h("p", { class: "meta" }, this.id);
    this.text = h("div", { class: "prose streaming" });
    this.reasoning = h("div", { class: "prose streaming" });
    this.fold = h("details", { class: "reasoning", hidden: true }, h("summary", {}, "Reasoning"), this.scroller(this.reasoning, "Reasoning"));
    this.body = this.scroller(this.text, "Text");
    this.checks = h("ul", { class: "checks", "aria-label": `Checks of ${this.name.toLowerCase()}`, hidden: true });
    this.node = h("article", { class: "card", "aria-label": this.name },
      h("header", {}, h(heading, {}, this.name), this.chip), this.meta, this.fold, this.body, this.checks);
  }

  scroller(inner, what) {
    return h("div", { class: "text", tabindex: 0, role: "region", "aria-label": `${what} of ${this.name.toLowerCase()}` }, inner);
  }

  label(text, kind = "") {
    this.chip.className = `chip ${kind}`;
    this.chip.textContent = text;
  }

  started() {
    if (this.state === "waiting") this.label("Starting", "busy");
  }

  write(text, reasoning, tokens, at, live) {
    if (this.state === "made" || this.state === "failed") return;
    this.state = "writing";
    this.label(reasoning ? "Thinking" : "Writing", "busy");
    this.tokens += tokens;
    this.first ??= at;
    const rate = at > this.first ? this.tokens / (at - this.first) : 0;
    const facts = [this.id, counted(this.tokens, "token"), live && rate ? `${number(rate)} a second` : ""];
    this.meta.textContent = facts.filter(Boolean).join(" · ");
    this.pending[reasoning ? "reasoning" : "text"] += text;
    this.frame ??= requestAnimationFrame(() => this.flush());
  }

  /** Puts what has come since the last frame into the page, and follows it where the reader was at the end. */
  flush() {
    this.frame = undefined;
    for (const part of ["reasoning", "text"]) {
      if (!this.pending[part] || this.state === "made") continue;
      const into = this[part];
      const box = into.parentElement;
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
      into.append(this.pending[part]);
      if (atEnd) box.scrollTop = box.scrollHeight;
    }
    if (this.pending.reasoning) this.fold.hidden = false;
    this.pending = { text: "", reasoning: "" };
  }

  made(candidate) {
    this.state = "made";
    this.label("Finished");
    fill(this.text, laidOut(candidate.html || ""));
    this.text.classList.remove("streaming");
    if (!candidate.html) fill(this.text, h("p", { class: "hint" }, "It ended without an answer."));
    fill(this.reasoning, laidOut(candidate.reasoning));
    this.reasoning.classList.remove("streaming");
    this.fold.hidden = !candidate.reasoning;
    this.tokens = candidate.tokens || this.tokens;
    const facts = [this.id, candidate.model, this.tokens ? counted(this.tokens, "token") : "", finish(candidate.finish)];
    this.meta.textContent = facts.filter(Boolean).join(" · ");
  }

  ended(status, usage, error) {
    if (this.state === "made") return;
    if (status === "cancelled") this.stopped();
    else if (status === "failed") this.failed(error);
  }

  stopped() {
    this.flush();
    this.state = "stopped";
    this.label("Not needed");
  }

  failed(error) {
    if (this.state === "failed") return;
    this.trouble = error;
    this.flush();
    this.state = "failed";
    this.label("Failed", "bad");
    fill(this.text, this.text.textContent, h("p", { class: "trouble" }, error || "It failed."));
  }

  checked(verifier, verdict) {
    this.checks.hidden = false;
    const found = verdict.answer ? h("span", { class: "found" }, " read as ", laidOut(verdict.answer)) : null;
    this.checks.append(h("li", {},
      h("span", { class: `chip ${KIND[verdict.status] || ""}` }, named(verdict.status)), " ",
      h("span", { class: "by" }, verifier), ["unparsed", "error"].includes(verdict.status) ? "" : ` ${percent(verdict.score)}`, found,
      verdict.reason ? h("p", { class: "reason" }, verdict.reason.replaceAll("candidates", "attempts")) : null));
  }

  decided(chosen) {
    if (!chosen) return;
    this.node.classList.add("chosen");
    this.label("Chosen", "chosen");
  }

  /** Nothing more will come. */
  settle() {
    this.flush();
    if (["waiting", "writing"].includes(this.state)) this.label("Not finished", "doubt");
  }

  copy() {
    return [...this.text.cloneNode(true).childNodes];
  }
}
