// What the pages that ask have in common: the question, the pipeline, the buttons.
import { ask, Refusal } from "./api.js";
import { fresh, h } from "./dom.js";

/** A field with its label above it. */
export function labelled(label, control, hint) {
  control.id = control.id || fresh("field");
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, hint ? h("p", { class: "hint" }, hint) : null);
}

/** The problem; Ctrl+Enter asks. */
export function questionField() {
  const area = h("textarea", { name: "problem", rows: 4, required: true, maxlength: 200000, placeholder: "What is the sum of the first hundred odd numbers?" });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      area.form.requestSubmit();
    }
  });
  return area;
}

/** Chooses a pipeline and, where it has presets, one of them. */
export class Picker {
  constructor(pipelines, label, initial = 0) {
    this.pipelines = pipelines;
    this.pipeline = h("select", { onchange: () => this.offer() }, pipelines.map((p) => h("option", { value: p.name }, p.name)));
    this.pipeline.selectedIndex = Math.min(initial, pipelines.length - 1);
    this.effort = h("select");
    this.efforts = labelled("Effort", this.effort);
    this.node = h("div", { class: "picker" }, labelled(label, this.pipeline), this.efforts);
    this.offer();
  }

  offer() {
    const chosen = this.pipelines.find((p) => p.name === this.pipeline.value);
    const efforts = chosen ? chosen.efforts : [];
    this.effort.replaceChildren(h("option", { value: "" }, "standard"), ...efforts.map((name) => h("option", { value: name }, name)));
    this.efforts.hidden = !efforts.length;
  }

  get value() {
    return { pipeline: this.pipeline.value, effort: this.effort.value };
  }
}

/** Asks, and shows the run in a view until it ends or the signal stops it. Gives the id of the request. */
export async function watch(question, view, signal, accepted = () => {}) {
  let id = "";
  let ended = false;
  view.begin();
  try {
    for await (const event of ask(question, signal)) {
      if (event.kind === "accepted") accepted((id = event.id));
      ended ||= ["run_ended", "done", "refused"].includes(event.kind);
      view.apply(event);
    }
    if (!ended) view.broke("The connection broke off before the end.");
  } catch (error) {
    if (signal.aborted) view.broke("stopped");
    else if (error instanceof Refusal) view.broke(error.message);
    else throw error;
  }
  view.finish();
  return id;
}
