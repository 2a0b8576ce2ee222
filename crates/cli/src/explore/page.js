'use strict';
const written = id => document.getElementById(id).textContent;
const about = JSON.parse(written('about'));
// A function's data, which is compressed. The browser itself inflates it.
const unpack = async id => {
  const bytes = Uint8Array.from(atob(written(id)), character => character.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return JSON.parse(await new Response(inflated).text());
};
// Lines of a column: offset in the module or null, text, and address where there are any. Numbers are written as differences.
const sums = numbers => { let last = 0; return numbers.map(number => number === null ? null : last += number); };
const lines_of = ({ text, offsets, addresses }) => {
  const at = sums(offsets), address = addresses && sums(addresses);
  return at.length ? text.split('\n').map((line, i) => [at[i], line, address?.[i]]) : [];
};
const make = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};
const count = (number, unit) => number.toLocaleString('en') + ' ' + unit;
const percent = ticks => (ticks * 100 / about.ticks).toFixed(1) + ' %';
const remembered = (name, value) => {
  // A page that is opened as a file may have no store.
  try { return value === undefined ? localStorage.getItem(name) : localStorage.setItem(name, value); } catch { return null; }
};

// The theme: the system's until somebody chooses.
const root = document.documentElement, dark = matchMedia('(prefers-color-scheme: dark)');
const theme = () => root.dataset.theme = remembered('theme') || (dark.matches ? 'dark' : 'light');
theme();
dark.addEventListener('change', theme);

// The frame: what module, the list of functions, the function that is shown.
const header = make('header'), nav = make('nav'), main = make('main');
const order = about.ticks ? 'the hottest first' : 'the largest first';
const toggle = make('button');
const name_toggle = () => toggle.textContent = root.dataset.theme === 'dark' ? 'Light' : 'Dark';
name_toggle();
toggle.onclick = () => {
  const chosen = root.dataset.theme === 'dark' ? 'light' : 'dark';
  root.dataset.theme = chosen;
  remembered('theme', chosen);
  name_toggle();
};
const title = make('h1', about.module.split('/').pop());
title.title = about.module;
header.append(title, make('span', `${about.functions.length} of ${about.total} functions, ${order}`), toggle);
const search = make('input'), found = make('p'), list = make('ul');
search.type = 'search';
search.placeholder = 'Search functions  ( / )';
list.setAttribute('role', 'listbox');
list.tabIndex = 0;
nav.append(search, found, list);
document.body.append(header, nav, main);

const weight = ([, , bytes, ticks]) => about.ticks ? ticks : bytes;
const most = Math.max(1, ...about.functions.map(weight));
const items = about.functions.map((entry, position) => {
  const [name, index, bytes, ticks, machine] = entry;
  const item = make('li'), line = make('b', name);
  item.title = name;
  item.style.setProperty('--share', weight(entry) * 100 / most + '%');
  const share = about.ticks ? percent(ticks) + ' · ' : '';
  const code = machine === null ? 'interpreted' : count(machine, 'B machine');
  item.setAttribute('role', 'option');
  item.append(line, make('small', `${share}${count(bytes, 'B wasm')} · ${code}`));
  item.onclick = () => show(position);
  return item;
});
list.append(...items);
const filter = () => {
  const wanted = search.value.toLowerCase();
  let shown = 0;
  items.forEach((item, position) => {
    const [name, index] = about.functions[position];
    item.hidden = !(name.toLowerCase().includes(wanted) || `func[${index}]`.includes(wanted));
    shown += !item.hidden;
  });
  found.textContent = wanted ? `${shown} found` : `bars: ${about.ticks ? 'time' : 'size'}, ↑ ↓ go through the list`;
};
search.oninput = filter;
search.onkeydown = event => {
  const first = items.findIndex(item => !item.hidden);
  if (event.key === 'Enter' && first >= 0) show(first);
};
filter();

// Words of a line of code, in colours.
const WORDS = /(;; .*$|; .*$|\(;.*?;\))|(\b0x[0-9a-f]+\b|(?<![\w$.])-?\d[\w.+-]*)|([$%@][\w.$]+|\bv\d+\b|\bblock\d+\b)|^(\s*)([a-z][\w.]*)|= ([a-z_][\w.]*)/g;
const colour = (into, text) => {
  let end = 0;
  for (const match of text.matchAll(WORDS)) {
    const [all, note, number, name, space, first, op] = match;
    const word = note || number || name || first || op;
    const start = match.index + all.length - word.length;
    into.append(text.slice(end, start), make('span', word, note ? 'c' : number ? 'n' : name ? 'v' : 'k'));
    end = start + word.length;
  }
  into.append(text.slice(end));
};

// A column draws its lines in chunks when they come into view.
const CHUNK = 200, HEIGHT = 18;
const column = (heading, unit, lines) => {
  const box = make('div', undefined, 'column'), code = make('div', undefined, 'code');
  box.append(make('h3', `${heading} · ${count(lines.length, unit)}`), code);
  const indent = Math.min(...lines.map(([, text]) => text.search(/\S|$/)));
  const rows = new Map();
  const draw = chunk => {
    const first = Number(chunk.dataset.first);
    delete chunk.dataset.first;
    chunk.style.height = '';
    lines.slice(first, first + CHUNK).forEach(([offset, text, address]) => {
      const row = make('div', undefined, 'row'), at = address === undefined ? offset : address;
      row.append(make('s', at === null || at === undefined ? '' : at.toString(16)));
      if (offset !== null) {
        row.dataset.o = offset;
        row.title = `wasm offset 0x${offset.toString(16)}` + (address === undefined ? '' : `, code +0x${address.toString(16)}`);
      }
      const words = make('span');
      colour(words, text.slice(indent));
      row.append(words);
      chunk.append(row);
    });
    light();
  };
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting && entry.target.dataset.first) draw(entry.target);
  }, { root: code, rootMargin: '600px' });
  for (let first = 0; first < lines.length; first += CHUNK) {
    const chunk = make('div', undefined, 'chunk');
    chunk.dataset.first = first;
    chunk.style.height = Math.min(CHUNK, lines.length - first) * HEIGHT + 'px';
    code.append(chunk);
    lines.slice(first, first + CHUNK).forEach(([offset], at) => {
      if (offset !== null && !rows.has(offset)) rows.set(offset, [chunk, at]);
    });
    seen.observe(chunk);
  }
  if (code.firstChild) draw(code.firstChild);
  // Brings the first line of an offset into view, drawing what it is in.
  box.reveal = offset => {
    const place = rows.get(offset);
    if (!place) return;
    const [chunk, at] = place;
    if (chunk.dataset.first) draw(chunk);
    const top = chunk.children[at].offsetTop - code.offsetTop;
    if (top < code.scrollTop || top > code.scrollTop + code.clientHeight - HEIGHT) code.scrollTop = top - code.clientHeight / 3;
  };
  return box;
};

// Lines of one origin light up together, in all columns; a click keeps them, and brings them into view.
let lit = null, kept = null, columns = null;
const light = () => {
  if (!columns) return;
  for (const row of columns.querySelectorAll('.lit, .kept')) row.classList.remove('lit', 'kept');
  const mark = (offset, name) => {
    if (offset !== null) for (const row of columns.querySelectorAll(`[data-o="${offset}"]`)) row.classList.add(name);
  };
  mark(kept, 'kept');
  mark(lit, 'lit');
};
const offset_under = event => {
  const row = event.target.closest('[data-o]');
  return row ? Number(row.dataset.o) : null;
};
main.addEventListener('mouseover', event => {
  const offset = offset_under(event);
  if (offset !== lit) { lit = offset; light(); }
});
main.addEventListener('click', event => {
  const offset = offset_under(event);
  if (offset === null || !columns) return;
  kept = kept === offset ? null : offset;
  light();
  const own = event.target.closest('.column');
  if (kept !== null) for (const box of columns.children) if (box !== own && !box.hidden) box.reveal?.(offset);
});

// Which columns there is room for, until somebody chooses.
const HEADINGS = ['WebAssembly', 'Intermediate representation', 'Machine code'];
let wanted = innerWidth < 1000 ? [true, false, true] : [true, true, true];
let current = -1;
const show = async position => {
  const [name, index, bytes, ticks, machine] = about.functions[position];
  current = position;
  items.forEach((item, at) => at === position ? item.setAttribute('aria-current', 'true') : item.removeAttribute('aria-current'));
  items[position].scrollIntoView({ block: 'nearest' });
  location.replace('#' + index);
  if (typeof DecompressionStream === 'undefined') {
    const reason = 'This browser cannot unpack what the page shows of functions. Those from 2023 on can: Firefox 113, Chrome 80, Safari 16.4.';
    main.replaceChildren(make('p', reason, 'reason'));
    return;
  }
  const data = await unpack('f' + position);
  // Somebody has gone on to another one meanwhile.
  if (current !== position) return;
  lit = kept = null;
  const heading = make('div', undefined, 'about'), shown = make('div', undefined, 'shown');
  const facts = [count(bytes, 'bytes of wasm')];
  if (!name.includes(`[${index}]`)) facts.unshift(`func[${index}]`);
  if (machine !== null) facts.push(count(machine, 'bytes of machine code'));
  if (about.ticks) facts.push(percent(ticks) + ' of the time');
  heading.append(make('h2', name), make('span', facts.join(' · ')), shown);
  columns = make('div', undefined, 'columns');
  const boxes = [column(HEADINGS[0], 'lines', lines_of(data.wasm))];
  if (data.reason === undefined) {
    boxes.push(column(HEADINGS[1], 'lines', lines_of(data.intermediate)), column(HEADINGS[2], 'lines', lines_of(data.machine)));
  } else {
    const box = make('div', undefined, 'column');
    box.append(make('p', 'It stays interpreted: ' + data.reason, 'reason'));
    boxes.push(box);
  }
  boxes.forEach((box, at) => {
    if (data.reason !== undefined) return;
    const button = make('button', HEADINGS[at].split(' ')[0]);
    const apply = () => { box.hidden = !wanted[at]; box.style.display = wanted[at] ? '' : 'none'; button.setAttribute('aria-pressed', wanted[at]); };
    button.onclick = () => { wanted[at] = !wanted[at] || wanted.filter(Boolean).length === 1; apply(); };
    apply();
    shown.append(button);
  });
  columns.append(...boxes);
  main.replaceChildren(heading, columns);
};
// The function before or behind the one that is shown, of those that are in the list.
const neighbour = step => {
  let at = current + step;
  while (items[at]?.hidden) at += step;
  return items[at] ? at : -1;
};
addEventListener('keydown', event => {
  if (event.key === '/' && event.target !== search) { event.preventDefault(); search.focus(); }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  // In code, arrows scroll.
  if (!step || event.ctrlKey || event.altKey || event.metaKey || event.target.closest?.('main')) return;
  event.preventDefault();
  const next = neighbour(step);
  if (next >= 0) show(next);
});
const asked = about.functions.findIndex(([, index]) => '#' + index === location.hash);
// Unless one is asked for, the first that there is machine code of.
const compiled = about.functions.findIndex(([, , , , machine]) => machine !== null);
if (about.functions.length) show(asked >= 0 ? asked : Math.max(0, compiled)); else {
  main.append(make('p', about.total ? 'No function of the module took time in the profile. --functions COUNT shows the largest.' : 'The module defines no function.'));
}
