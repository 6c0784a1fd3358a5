// Strokes on a transparent square. What is sent is a quarter of its size: models look at 28x28 at most.
const pad = element.querySelector('canvas');
const pen = pad.getContext('2d', { willReadFrequently: true });
const width = element.querySelector('input');
let last = null;
let waiting = 0;

const ink = () => { pen.strokeStyle = pen.fillStyle = getComputedStyle(pad).color; };

const place = (event) => {
  const box = pad.getBoundingClientRect();
  return [(event.clientX - box.left) * pad.width / box.width, (event.clientY - box.top) * pad.height / box.height];
};

const send = () => {
  const small = document.createElement('canvas');
  small.width = small.height = 140;
  small.getContext('2d').drawImage(pad, 0, 0, 140, 140);
  props.value = small.toDataURL('image/png');
  trigger('input');
};

pad.addEventListener('pointerdown', (event) => {
  if (event.button > 0) return;
  pad.setPointerCapture(event.pointerId);
  clearTimeout(waiting);
  ink();
  last = place(event);
  pen.beginPath();
  pen.arc(...last, width.value / 2, 0, 2 * Math.PI);
  pen.fill();
  event.preventDefault();
});

pad.addEventListener('pointermove', (event) => {
  if (!last) return;
  pen.lineWidth = width.value;
  pen.lineCap = pen.lineJoin = 'round';
  for (const moved of event.getCoalescedEvents?.() ?? [event]) {
    const next = place(moved);
    pen.beginPath();
    pen.moveTo(...last);
    pen.lineTo(...next);
    pen.stroke();
    last = next;
  }
});

const lift = () => {
  if (!last) return;
  last = null;
  clearTimeout(waiting);
  waiting = setTimeout(send, 350); // a 4 has two strokes
};
pad.addEventListener('pointerup', lift);
pad.addEventListener('pointercancel', lift);

element.querySelector('.clear').addEventListener('click', () => {
  clearTimeout(waiting);
  pen.clearRect(0, 0, pad.width, pad.height);
  props.value = '';
  trigger('input');
});
