// Where a run is: four steps in a row, and the time.
import { h } from "./dom.js";
import { seconds } from "./text.js";

const ticking = (s) => (s < 60 ? `${s.toFixed(1)} s` : seconds(s));

const NAMES = { plan: "Plan", attempts: "Attempts", checks: "Checks", decision: "Decision" };

export class Stages {
  constructor() {
    this.steps = new Map();
    const items = Object.entries(NAMES).map(([key, name]) => {
      const told = h("span", { class: "told" }, "waiting");
      const node = h("li", { "data-state": "waiting" }, h("span", { class: "name" }, name), told);
      this.steps.set(key, { node, told });
      return node;
    });
    this.clock = h("span", { class: "clock" });
    this.node = h("div", { class: "progress" }, h("ol", { class: "stages", "aria-label": "Progress" }, items), this.clock);
    this.elapsed = 0;
  }

  start() {
    const began = performance.now();
    this.timer = setInterval(() => {
      this.elapsed = (performance.now() - began) / 1000;
      this.clock.textContent = ticking(this.elapsed);
    }, 100);
    this.set("plan", "busy", "waiting for a place");
  }

  stop() {
    clearInterval(this.timer);
  }

  time(value) {
    this.elapsed = value;
    this.clock.textContent = seconds(value);
  }

  note(text) {
    this.set("plan", "busy", text || "starting");
  }

  set(key, state, text) {
    const step = this.steps.get(key);
    if (step.node.dataset.state === "done" && state === "busy" && key === "plan") return;
    step.node.dataset.state = state;
    step.told.textContent = text;
  }

  /** A step that is not taken. */
  skip(key, text) {
    if (this.steps.get(key).node.dataset.state !== "done") this.set(key, "done", text);
  }

  finished(checks) {
    this.stop();
    this.skip("plan", "none");
    this.steps.get("attempts").node.dataset.state = "done";
    this.set("checks", "done", checks);
    this.set("decision", "done", "made");
  }

  broken(text) {
    this.stop();
    for (const [key, { node }] of this.steps) {
      if (node.dataset.state === "busy") this.set(key, "waiting", "not finished");
      else if (node.dataset.state === "waiting" && key !== "decision") this.set(key, "waiting", "not reached");
    }
    this.set("decision", text === "failed" ? "failed" : "stopped", text);
  }
}
