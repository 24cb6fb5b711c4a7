"""Style sheet and script of the page; both are constants without any row in them."""

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--soft:#57606a;--rule:#d8dee4;
--box:#f6f8fa;--link:#0550ae;--k0:#0072b2;--k1:#d55e00;--k2:#009e73;--k3:#b0518c;
--k4:#b97f00;--k5:#2a93c9;--k6:#555}
@media (prefers-color-scheme:dark){:root{--bg:#0d1117;--ink:#e6edf3;--soft:#9aa4af;
--rule:#30363d;--box:#161b22;--link:#79b8ff;--k0:#4aa3df;--k1:#ff8c42;--k2:#2fc99a;
--k3:#e08fc2;--k4:#e6b23c;--k5:#8fd3f7;--k6:#b8bec5}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1240px;padding:16px;background:var(--bg);color:var(--ink);
font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;margin:.4em 0}
h2{font-size:1.25rem;margin:2em 0 .4em;padding-top:.6em;
border-top:1px solid var(--rule)}
h3{font-size:1rem;margin:1.2em 0 .4em}
a{color:var(--link)}
.note{color:var(--soft);font-size:.9rem}
ul.say{padding-left:1.1em}ul.say li{margin:.5em 0}
.plots{display:grid;gap:16px;
grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr))}
figure{margin:0;min-width:0}figure svg{display:block;width:100%;max-width:640px;
height:auto}
.cut img{width:100%;max-width:880px;border-radius:6px}
.box{overflow-x:auto;border:1px solid var(--rule);border-radius:6px}
table{border-collapse:collapse;width:100%;font-size:.875rem;
font-variant-numeric:tabular-nums}
th,td{padding:4px 10px;text-align:right;white-space:nowrap;
border-bottom:1px solid var(--rule)}
th:first-child,td:first-child{text-align:left}
.box{overflow-wrap:break-word}.left td:first-child{min-width:15em}
.left td,.left th{text-align:left;white-space:normal;min-width:8em;vertical-align:top}
tr:last-child td{border-bottom:0}
thead th{background:var(--box);vertical-align:bottom}
tr.best td{font-weight:600}
th button{all:unset;cursor:pointer;font-weight:600}
th button:focus-visible{outline:2px solid var(--link)}
th[aria-sort=ascending] button::after{content:" \\2191"}
th[aria-sort=descending] button::after{content:" \\2193"}
input.filter{font:inherit;color:inherit;background:var(--bg);
border:1px solid var(--rule);
border-radius:6px;padding:4px 8px;margin:8px 0;width:min(100%,20em)}
pre{background:var(--box);border:1px solid var(--rule);border-radius:6px;
padding:8px 10px;
overflow-x:auto;white-space:pre-wrap;font-size:.8125rem;margin:.5em 0}
svg text{fill:var(--ink);font:13px system-ui,sans-serif}
svg .name{font-size:12px}
svg .tick{fill:var(--soft);font-size:12px}svg .mid{text-anchor:middle}svg .end{
text-anchor:end}
svg path{fill:none}.grid{stroke:var(--rule)}.axis{stroke:var(--soft)}
svg .m{stroke:var(--bg);stroke-width:1;fill:currentColor}
svg .band{fill:currentColor;opacity:.13}svg .line{stroke:currentColor;stroke-width:2}
svg .dash{stroke-dasharray:6 4}.dot{fill:currentColor;opacity:.45}
.many .band{opacity:.05}.many .dot{opacity:.25}
.lead{stroke:currentColor;opacity:.6}
.dense{stroke:var(--soft);stroke-width:1.5}svg .dense-band{fill:var(--soft);opacity:.2}
.mlp{stroke:var(--soft);stroke-width:2;stroke-dasharray:1 4;stroke-linecap:round}
.front{stroke:var(--soft);stroke-dasharray:3 3}
.k0{color:var(--k0)}.k1{color:var(--k1)}.k2{color:var(--k2)}.k3{color:var(--k3)}
.k4{color:var(--k4)}.k5{color:var(--k5)}.k6{color:var(--k6)}.base{color:var(--soft)}
@media print{input.filter{display:none}}
"""

SCRIPT = """
for (const box of document.querySelectorAll(".sortable")) {
  const table = box.querySelector("table"), body = table.tBodies[0];
  const rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const filter = document.createElement("input");
  filter.className = "filter";
  filter.type = "search";
  filter.placeholder = "Filter lines";
  filter.setAttribute("aria-label", "Filter lines");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\\s+/);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
  box.before(filter);
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[i].dataset.v ?? "";
      const isEmpty = (row) => key(row) === "";
      rows.sort((a, b) => {
        if (isEmpty(a) || isEmpty(b)) return isEmpty(a) - isEmpty(b);
        const order = i ? key(a) - key(b) : key(a).localeCompare(key(b));
        return down ? -order : order;
      });
      body.append(...rows);
    });
  });
}
"""
