// Draws the figures in the colours of the page, and again when these change.
"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const plots = document.querySelectorAll(".plot");
const draw = () => {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const axis = { gridcolor: color("--line"), linecolor: color("--line"), zerolinecolor: color("--line"), tickfont: { size: 11 } };
  const theme = {
    font: { family: "system-ui, sans-serif", size: 12, color: color("--soft") },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    xaxis: { ...axis, showgrid: false, spikecolor: color("--soft"), spikethickness: 1, spikedash: "dot" },
    yaxis: axis,
    hoverlabel: { bgcolor: color("--tip"), bordercolor: color("--line"), font: { color: color("--text") } },
  };
  plots.forEach((plot, number) => {
    const { data, layout } = figures[number];
    // plotly.js keeps what it is given.
    const own = structuredClone(layout);
    Plotly.react(plot, structuredClone(data), { ...own, template: { layout: theme } }, { displayModeBar: false, responsive: true });
  });
};
draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
