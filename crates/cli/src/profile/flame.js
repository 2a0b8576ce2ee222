'use strict';
const details = document.getElementById('details'), search = document.getElementById('search');
const hint = details.textContent;
// Where boxes lie, in percent of the whole, and in rows.
const boxes = [...document.querySelectorAll('.f')].map(node => ({
  node, x: parseFloat(node.getAttribute('x')), width: parseFloat(node.getAttribute('width')), y: Number(node.getAttribute('y')),
  about: node.querySelector('title').textContent, name: node.querySelector('text').textContent,
}));
const of_node = new Map(boxes.map(box => [box.node, box]));
const under = event => of_node.get(event.target.closest?.('.f'));
const NEAR = 1e-4;

// Makes a box as wide as the picture, with those below it; those it is in stay above it.
const enlarge = into => {
  for (const box of boxes) {
    const within = box.x >= into.x - NEAR && box.x + box.width <= into.x + into.width + NEAR && box.y >= into.y;
    const above = box.y < into.y && box.x <= into.x + NEAR && box.x + box.width >= into.x + into.width - NEAR;
    box.node.classList.toggle('gone', !within && !above);
    box.node.classList.toggle('above', above);
    box.node.setAttribute('x', within ? (box.x - into.x) * 100 / into.width + '%' : '0%');
    box.node.setAttribute('width', within ? box.width * 100 / into.width + '%' : '100%');
  }
};

// The share of boxes that match, each time counted once however deep it matches.
const find = () => {
  const wanted = search.value.toLowerCase();
  let share = 0, end = -1;
  const hits = boxes.filter(box => wanted && box.name.toLowerCase().includes(wanted));
  for (const box of boxes) box.node.classList.toggle('hit', hits.includes(box));
  for (const box of hits.sort((a, b) => a.x - b.x || b.width - a.width)) {
    if (box.x + box.width <= end + NEAR) continue;
    share += box.width;
    end = box.x + box.width;
  }
  details.textContent = wanted ? `${hits.length} boxes found: ${share.toFixed(1)} % of the time` : hint;
};

document.addEventListener('click', event => { const box = under(event); if (box) enlarge(box); });
document.addEventListener('mouseover', event => { const box = under(event); if (box) details.textContent = box.about; });
document.addEventListener('mouseout', event => { if (under(event)) find(); });
search.addEventListener('input', find);
document.addEventListener('keydown', event => {
  if (event.key === 'Escape') { search.value = ''; find(); enlarge(boxes[0]); }
  const asks = event.key === '/' && event.target !== search || event.key === 'f' && (event.ctrlKey || event.metaKey);
  if (asks) { event.preventDefault(); search.focus(); }
});
