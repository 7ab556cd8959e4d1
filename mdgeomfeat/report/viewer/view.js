// The 3-D view of a report: structures.js says what is shown, 3Dmol.js draws it.
// Names come from strangers' files, so all text is set as text, never as markup.
"use strict";

(() => {
  const place = document.getElementById("view3d");
  const missing = document.getElementById("view3d-missing");
  const stills = document.getElementById("stills");
  const scene = globalThis.mdgeomfeatStructures;
  const mol = globalThis.$3Dmol;
  if (!place || !missing) return;

  function hasWebGL() {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
  }
  if (!scene || !mol) return; // the page says what is missing
  if (!hasWebGL()) {
    missing.textContent =
      "This browser offers no WebGL, which the 3-D view needs. The pictures below " +
      "show the states from one side.";
    return;
  }

  const STEP = 140; // ms between frames of the way
  const STICK = { sticks: 0.2, lining: 0.09, thin: 0.1 };
  const LIGAND = "#D55E00";
  const ELEMENTS = {
    H: "#e5e7eb", N: "#2563eb", O: "#dc2626", S: "#ca8a04", P: "#ea580c",
    F: "#16a34a", Cl: "#16a34a", Br: "#9f1239", I: "#6d28d9",
  };
  const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const MATTERS = [[222, 222, 222], [244, 165, 130], [178, 24, 43]];

  const { atoms, residues, bonds, groups } = scene;
  const states = groups.filter((group) => group.kind === "state");
  const nAtoms = atoms.name.length;
  const nResidues = residues.label.length;
  const joined = Array.from({ length: nAtoms }, () => []);
  for (const [i, j] of bonds) {
    joined[i].push(j);
    joined[j].push(i);
  }
  const isHydrogen = atoms.element.map((symbol) => symbol === "H");
  const hasHydrogens = isHydrogen.some(Boolean);
  const hasPolymer = residues.role.some((role) => role !== "other");
  const hasRibbon = residues.drawing.some((d) => d === "ribbon" || d === "lining");

  const now = {
    group: 0, // of the groups; -1 for all states at once
    frame: 0,
    colour: "state",
    sticks: !hasRibbon,
    hydrogens: false,
  };
  let timer = null;
  let forward = 1;

  // ---- colours ---------------------------------------------------------------

  function blend(stops, share) {
    const x = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
    const k = Math.min(Math.floor(x), stops.length - 2);
    const mix = stops[k].map((v, c) => Math.round(v + (stops[k + 1][c] - v) * (x - k)));
    return `rgb(${mix.join(",")})`;
  }

  function residueColour(r, ofState) {
    const ligand = residues.role[r] === "other";
    switch (now.colour) {
      case "importance":
        return blend(MATTERS, residues.importance[r] / 100);
      case "residue":
        return blend(VIRIDIS, nResidues > 1 ? r / (nResidues - 1) : 0.5);
      case "element":
        return "#9ca3af";
      default:
        if (ligand && hasPolymer) return LIGAND;
        return ofState;
    }
  }

  function atomColour(a, ofResidue) {
    if (now.colour === "importance") return ofResidue;
    return ELEMENTS[atoms.element[a]] ?? ofResidue;
  }

  // ---- models ----------------------------------------------------------------

  function styleOf(a, r, colour) {
    const drawing = residues.drawing[r];
    const ribbon = !now.sticks && (drawing === "ribbon" || drawing === "lining");
    const style = {};
    if (ribbon) {
      style.cartoon = { color: colour, arrows: true, thickness: 0.35 };
      if (residues.trace[r]) style.cartoon.style = "trace";
    }
    if (ribbon && drawing === "ribbon") return style;
    const thin = now.sticks && hasRibbon && residues.role[r] !== "other";
    const radius = thin ? STICK.thin : STICK[drawing] ?? STICK.sticks;
    const bonded = joined[a].some((b) => now.hydrogens || !isHydrogen[b]);
    if (bonded) style.stick = { radius, color: atomColour(a, colour) };
    else style.sphere = { radius: 0.6, color: atomColour(a, colour) };
    return style;
  }

  function specs(model, ofState) {
    const colours = residues.label.map((_, r) => residueColour(r, ofState));
    const found = [];
    for (let a = 0; a < nAtoms; a++) {
      if (isHydrogen[a] && !now.hydrogens) continue;
      const r = atoms.residue[a];
      found.push({
        index: a,
        serial: a,
        elem: atoms.element[a],
        atom: atoms.drawn_name[a],
        resn: residues.drawn_name[r],
        resi: r,
        chain: String(residues.chain[r]),
        hetflag: residues.role[r] === "other",
        ss: model.secondary[r],
        x: model.positions[3 * a] / 1000,
        y: model.positions[3 * a + 1] / 1000,
        z: model.positions[3 * a + 2] / 1000,
        bonds: joined[a],
        bondOrder: joined[a].map(() => 1),
        style: styleOf(a, r, colours[r]),
      });
    }
    return found;
  }

  function shown() {
    if (now.group < 0) return states.map((group) => [group.models[0], group.color]);
    const group = groups[now.group];
    const model = group.models[now.frame];
    return [[model, model.color ?? group.color]];
  }

  function draw() {
    viewer.removeAllModels();
    for (const [model, colour] of shown()) {
      viewer.addModel().addAtoms(specs(model, colour));
    }
    viewer.render();
    tell();
  }

  // ---- controls --------------------------------------------------------------

  function element(name, parent, properties = {}) {
    const made = document.createElement(name);
    Object.assign(made, properties);
    parent.append(made);
    return made;
  }

  function choice(title, options, current, choose) {
    const row = element("div", controls, { className: "choice" });
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", title);
    element("span", row, { textContent: title });
    const buttons = options.map(([label, value, color]) => {
      const button = element("button", row, { type: "button", textContent: label });
      if (color) button.style.borderColor = color;
      button.addEventListener("click", () => {
        choose(value);
        mark(value);
        draw();
      });
      return [button, value];
    });
    function mark(value) {
      for (const [button, own] of buttons) {
        button.setAttribute("aria-pressed", String(own === value));
      }
    }
    mark(current);
  }

  place.hidden = false;
  const canvas = element("div", place, { className: "canvas" });
  const controls = element("div", place, { className: "controls" });
  const viewer = mol.createViewer(canvas, { backgroundColor: "white", antialias: true });

  const choices = groups.map((group, k) => [group.title, k, group.color]);
  if (states.length > 1) choices.splice(states.length, 0, ["all states", -1]);
  choice("Show", choices, 0, (value) => {
    now.group = value;
    now.frame = 0;
    play(value >= 0 && groups[value].kind === "way");
  });
  const colours = [["state", "state"], ["residue", "residue"], ["element", "element"]];
  if (residues.importance) colours.splice(1, 0, ["importance", "importance"]);
  choice("Colour by", colours, "state", (value) => { now.colour = value; });
  if (hasRibbon) {
    const drawn = [["cartoon", false], ["sticks", true]];
    choice("Draw", drawn, false, (value) => { now.sticks = value; });
  }
  if (hasHydrogens) {
    const drawn = [["hidden", false], ["shown", true]];
    choice("Hydrogens", drawn, false, (value) => { now.hydrogens = value; });
  }

  const row = element("div", controls, { className: "choice" });
  const button = element("button", row, { type: "button" });
  const slider = element("input", row, { type: "range", min: 0, step: 1 });
  slider.setAttribute("aria-label", "Frame");
  const line = element("p", controls, { className: "soft" });
  line.setAttribute("aria-live", "off");
  button.addEventListener("click", () => play(timer === null));
  slider.addEventListener("input", () => {
    play(false);
    now.frame = Number(slider.value);
    draw();
  });

  function nFrames() {
    return now.group < 0 ? 1 : groups[now.group].models.length;
  }

  function play(on) {
    if (timer !== null) clearInterval(timer);
    timer = on ? setInterval(next, STEP) : null;
    button.textContent = on ? "stop" : "play";
  }

  function next() {
    const n = nFrames();
    if (n < 2) return;
    if (now.frame + forward < 0 || now.frame + forward >= n) forward = -forward;
    now.frame += forward;
    draw();
  }

  function tell() {
    const n = nFrames();
    row.hidden = n < 2;
    slider.max = n - 1;
    slider.value = now.frame;
    if (now.group < 0) {
      line.textContent = "The most typical frame of every state.";
      return;
    }
    const group = groups[now.group];
    line.textContent = `${group.title}: ${group.models[now.frame].origin}`;
  }

  play(false);
  draw();
  viewer.zoomTo();
  viewer.zoom(1.25);
  viewer.render();
  missing.hidden = true;
  if (stills) {
    stills.open = false;
    addEventListener("beforeprint", () => { stills.open = true; });
  }
  addEventListener("resize", () => viewer.resize());
})();
