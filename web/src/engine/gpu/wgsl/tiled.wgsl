// The same three products in blocks of 64 × 64 that 256 invocations share through workgroup memory: what suits most
// hardware. Rows are pixels (OUTER: the weights' rows), columns channels; the sum goes in strips of 16.
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> w: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
//#if MASK
@group(0) @binding(4) var<storage, read> mask: array<vec4f>;
//#end
var<workgroup> a: array<vec4f, 256>;
var<workgroup> b: array<vec4f, 256>;

/** Where pixel `row` lies in a buffer of `h` × `v` pixels an image, of which `o` are its border. */
fn place(row: u32, h: u32, v: u32, o: u32) -> u32 {
  //#if ROWS
  return row;
  //#else
  return (row / ($HEIGHT * $WIDTH) * h + row / $WIDTH % $HEIGHT + o) * v + row % $WIDTH + o;
  //#end
}

/** What vector `k` of the sum reads at pixel `row`: taps outside, channels inside. */
fn tap(row: u32, k: u32) -> vec4f {
  let t = k / $IN;
  let v = x[(place(row, $XH, $XW, 0) + t / $K * $XW + t % $K) * $IN + k % $IN];
  return select(vec4f(), v, t < $K * $K);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) l: u32) {
  //#if ROWS
  let pixels = step.n;
  //#else
  let pixels = step.n * $HEIGHT * $WIDTH;
  //#end
  let block = id.x + id.y * groups.x;
  let column = block % $OT * 16;
  let row = block / $OT * 64;
  let lx = l % 16;
  let ly = l / 16;
  //#for j 4
  var y$j = vec4f();
  //#end
  //#if OUTER
  if (row >= $K * $K * $IN * 4) { return; }
  var bias = vec4f();
  for (var k = 0u; k < pixels; k += 16) {
    let valid = k + ly < pixels;
    a[l] = select(vec4f(), tap(k + ly, row / 4 + lx), valid);
    b[l] = select(vec4f(), w[place(k + ly, $DH, $DW, $DO) * $OUT + min(column + lx, $OUT - 1)], valid);
    workgroupBarrier();
    for (var i = 0u; i < 16; i++) {
      let d = b[i * 16 + lx];
      let v = a[i * 16 + ly];
      bias += d;
      //#for j 4
      y$j += v[$j] * d;
      //#end
    }
    workgroupBarrier();
  }
  if (column + lx >= $OUT) { return; }
  if (row + ly == 0) { y[$K * $K * $IN * 4 * $OUT + column + lx] = bias; }
  let r = row / 4 + ly;
  //#for j 4
  if (r < $K * $K * $IN) { y[(r * $OUT + column + lx) * 4 + $j] = y$j; }
  //#end
  //#else
  if (row >= pixels) { return; }
  for (var k = 0u; k < $K * $K * $IN; k += 4) {
    a[l] = tap(row + l / 4, k + l % 4);
    //#if BACK
    let t = (k + l % 4) / $IN;
    b[l] = w[((($K * $K - 1 - min(t, $K * $K - 1)) * $OUT + column + l / 16) * $IN + (k + l % 4) % $IN) * 4 + l / 4 % 4];
    //#else
    b[l] = w[((k + ly / 4) * $OUT + min(column + lx, $OUT - 1)) * 4 + ly % 4];
    //#end
    workgroupBarrier();
    for (var i = 0u; i < 4; i++) {
      //#if BACK
      let m = mat4x4f(b[lx * 16 + i], b[lx * 16 + 4 + i], b[lx * 16 + 8 + i], b[lx * 16 + 12 + i]);
      //#else
      let m = mat4x4f(b[i * 64 + lx], b[i * 64 + 16 + lx], b[i * 64 + 32 + lx], b[i * 64 + 48 + lx]);
      //#end
      //#for j 4
      //#if BACK
      y$j += a[ly * 16 + $j * 4 + i] * m;
      //#else
      y$j += m * a[ly * 16 + $j * 4 + i];
      //#end
      //#end
    }
    workgroupBarrier();
  }
  if (column + lx >= $OUT) { return; }
  //#for j 4
  {
    let r = row + ly * 4 + $j;
    if (r < pixels) {
      //#if BACK
      //#else
      y$j += w[$K * $K * $IN * 4 * $OUT + column + lx];
      //#end
      //#if RELU
      y$j = max(y$j, vec4f());
      //#end
      //#if MASK
      y$j = select(vec4f(), y$j, mask[place(r, $MH, $MW, $MO) * $OUT + column + lx] > vec4f());
      //#end
      y[place(r, $YH, $YW, $YO) * $OUT + column + lx] = y$j;
    }
  }
  //#end
  //#end
}
