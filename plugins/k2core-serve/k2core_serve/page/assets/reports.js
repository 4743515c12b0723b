// Reports of evaluations, each in a frame that keeps it to itself.
import { address, get, post } from "./api.js";
import { fill, h } from "./dom.js";
import { date } from "./text.js";

export function reportsPlace({ argument }) {
  const body = h("div", {}, h("p", { class: "hint" }, "Loading…"));
  const failed = (error) => fill(body, h("p", { class: "trouble" }, error.message));
  if (!argument) {
    get("api/reports").then(({ reports }) => fill(body, list(reports))).catch(failed);
    return h("div", { class: "page" }, h("h1", {}, "Evaluation reports"), body);
  }
  const path = decodeURIComponent(argument);
  post(`api/reports/open?path=${encodeURIComponent(path)}`).then(({ url }) => fill(body, framed(path, url))).catch(failed);
  return h("div", { class: "page" }, h("p", { class: "back" }, h("a", { href: "reports" }, "All reports")), h("h1", {}, "Evaluation report"), body);
}

const link = (path) => `reports/${path.split("/").map(encodeURIComponent).join("/")}`;

function list(reports) {
  if (!reports.length) return h("p", { class: "empty" }, "The folder holds no report yet.");
  return h("ul", { class: "requests" }, reports.map((report) =>
    h("li", {}, h("a", { href: link(report.path), class: "asked" }, report.title), h("p", { class: "meta" }, `${report.path} · ${date(report.written)}`))));
}

function framed(path, url) {
  return [
    h("p", { class: "meta" }, `${path} · `, h("a", { href: address(url), target: "_blank", rel: "noopener" }, "Open in a tab of its own")),
    h("iframe", { src: address(url), title: `Report ${path}`, sandbox: "allow-scripts", class: "report" }),
  ];
}
