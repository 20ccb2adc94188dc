// Keeps the page up to date: asks for /status.json every second, and fills the tables that the server sent.
"use strict";
const GRAPH_POINTS = 60;
const $ = (id) => document.getElementById(id);
const group = (n) => n.toLocaleString("en").replace(/,/g, "\u202f");
const history = { in: [], out: [] };
let before = null;

function fill(id, rows) {
  const body = document.createElement("tbody");
  for (const row of rows) {
    const line = body.insertRow();
    for (const cell of row) {
      const made = line.insertCell();
      if (typeof cell === "number") {
        made.className = "n";
        made.textContent = group(cell);
      } else if (cell.state) {
        const span = document.createElement("span");
        span.className = "state " + cell.state.toLowerCase();
        span.textContent = cell.state;
        made.append(span);
      } else {
        made.textContent = cell.text ?? "–";
      }
    }
  }
  body.id = id;
  $(id).replaceWith(body);
}

function rate(bits) {
  for (const unit of ["bit/s", "kbit/s", "Mbit/s"]) {
    if (bits < 1000) return bits.toFixed(bits < 10 && unit !== "bit/s" ? 1 : 0) + " " + unit;
    bits /= 1000;
  }
  return bits.toFixed(2) + " Gbit/s";
}

function graph(way, value) {
  const points = history[way];
  points.push(value);
  if (points.length > GRAPH_POINTS) points.shift();
  const top = Math.max(...points, 1);
  const at = (v, i) => `${(i * 120) / (GRAPH_POINTS - 1)},${(29 - (v / top) * 28).toFixed(1)}`;
  $("graph-" + way).setAttribute("points", points.map(at).join(" "));
  $("rate-" + way).textContent = rate(value);
}

function show(status) {
  const text = (value) => ({ text: value });
  const seconds = Math.floor(status.uptime_ms / 1000);
  $("uptime").textContent = `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  fill("interfaces", status.interfaces.map((i) => [text(i.name), text(i.addresses.join(", ")), text(i.mac || "–"),
    text(String(i.mtu)), i.frames_in, i.bytes_in, i.frames_out, i.bytes_out]));
  fill("sockets", status.sockets.map((s) => [text(s.kind), { state: s.state }, text(s.local), text(s.peer),
    s.receive_queue, s.send_queue]));
  fill("routes", status.routes.map((r) => [text(r.to), text(r.via ?? "on the link"), text(r.dev), text(r.origin), r.metric]));
  const orNone = (rows) => (rows.length ? rows : [[text("none")]]);
  fill("neighbours", orNone(status.neighbours.map((n) => [text(n.address), text(n.mac), text(n.state), text(n.dev)])));
  fill("counters", status.counters.map((c) => [text(c.what), c.count]));
  fill("drops", orNone(status.drops.map((c) => [text(c.what), c.count])));
  const counter = (what) => status.counters.find((c) => c.what === what)?.count ?? 0;
  $("established").textContent = group(status.sockets.filter((s) => s.kind === "tcp" && s.state === "ESTABLISHED").length);
  $("sockets-note").textContent = status.sockets_left_out ? `${status.sockets_left_out} more sockets not shown` : "established";
  $("retransmitted").textContent = group(counter("TCP retransmissions"));
  $("segments").textContent = group(counter("TCP segments out"));
  const now = { ms: status.uptime_ms, in: counter("bytes in"), out: counter("bytes out") };
  if (before && now.ms > before.ms) {
    const bits = (way) => ((now[way] - before[way]) * 8000) / (now.ms - before.ms);
    graph("in", bits("in"));
    graph("out", bits("out"));
  }
  before = now;
}

async function refresh() {
  try {
    const answer = await fetch("/status.json", { cache: "no-store" });
    show(await answer.json());
    $("live").textContent = "live";
  } catch (error) {
    $("live").textContent = "the machine does not answer";
  }
  setTimeout(refresh, 1000);
}
refresh();
