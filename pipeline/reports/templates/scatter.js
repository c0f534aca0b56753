"use strict";
// Many points on a canvas: by WebGL 2 where there is a graphics card for it, else pixel by pixel,
// which is several times as fast as WebGL in software.
// places: Uint16Array, x and y of each point, 65535 is 1; codes: the number of its colour;
// colours: "#rrggbb" of each number. paint(view, layers, ratio) draws layers of {index, alpha, radius()},
// where view is the point in the middle (x, y) and the pixels that 1 takes (scale); ratio is that of
// the canvas' own pixels to these.
function scatter(canvas, places, codes, colours) {
  const gl = hasCard() && canvas.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true });
  return gl ? byGpu(canvas, gl, places, codes, colours) : byPixel(canvas, places, codes, colours);
}

function hasCard() {
  const gl = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  if (!gl) return false;
  const more = gl.getExtension("WEBGL_debug_renderer_info");
  const name = String(gl.getParameter(more ? more.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  return !/swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

function byGpu(canvas, gl, places, codes, colours) {
  const VERTEX = `#version 300 es
    in vec2 place; in vec4 paint; uniform vec3 view; uniform vec2 size; uniform float radius; out vec4 colour;
    void main() {
      gl_Position = vec4(2.0 * (place - view.xy) * view.z / size, 0, 1);
      gl_PointSize = 2.0 * radius + 1.0;
      colour = paint;
    }`;
  const FRAGMENT = `#version 300 es
    precision highp float;
    in vec4 colour; uniform float radius; uniform float alpha; out vec4 pixel;
    void main() {
      float far = length(gl_PointCoord - 0.5) * (2.0 * radius + 1.0);
      float cover = alpha * clamp(radius + 0.5 - far, 0.0, 1.0);
      pixel = vec4(colour.rgb * cover, cover);
    }`;
  let where, count;

  function shader(kind, text) {
    const made = gl.createShader(kind);
    gl.shaderSource(made, text);
    gl.compileShader(made);
    return made;
  }
  function attribute(program, name, values, width) {
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    const at = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(at);
    const kind = values instanceof Uint16Array ? gl.UNSIGNED_SHORT : gl.UNSIGNED_BYTE;
    gl.vertexAttribPointer(at, width, kind, true, 0, 0);
  }
  function setUp() {
    const program = gl.createProgram();
    gl.attachShader(program, shader(gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, shader(gl.FRAGMENT_SHADER, FRAGMENT));
    gl.linkProgram(program);
    gl.useProgram(program);
    attribute(program, "place", places, 2);
    attribute(program, "paint", painted(codes, colours), 4);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    where = Object.fromEntries(["view", "size", "radius", "alpha"].map((name) => [name, gl.getUniformLocation(program, name)]));
    count = null;
  }
  setUp();
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => { setUp(); canvas.dispatchEvent(new Event("repaint")); });

  function upload(layers) {
    const all = new Uint32Array(layers.reduce((sum, layer) => sum + layer.index.length, 0));
    let at = 0;
    for (const layer of layers) { all.set(layer.index, at); at += layer.index.length; }
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, all, gl.DYNAMIC_DRAW);
    count = layers;
  }
  return {
    how: "WebGL",
    paint(view, layers, ratio) {
      if (layers !== count) upload(layers);
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform3f(where.view, view.x, view.y, view.scale * ratio);
      gl.uniform2f(where.size, canvas.width, canvas.height);
      let at = 0;
      for (const layer of layers) {
        gl.uniform1f(where.alpha, layer.alpha);
        gl.uniform1f(where.radius, layer.radius() * ratio);
        gl.drawElements(gl.POINTS, layer.index.length, gl.UNSIGNED_INT, 4 * at);
        at += layer.index.length;
      }
    },
  };
}

function painted(codes, colours) {
  const channels = colours.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const paint = new Uint8Array(4 * codes.length).fill(255);
  codes.forEach((code, i) => paint.set(channels[code], 4 * i));
  return paint;
}

function byPixel(canvas, places, codes, colours) {
  const pen = canvas.getContext("2d");
  const paints = colours.map((hex) => parseInt(hex.slice(5) + hex.slice(3, 5) + hex.slice(1, 3), 16));
  let image = { width: 0, height: 0 }, pixels = null;

  // What a point covers: places of pixels from its middle on, and how much of each.
  function stamp(radius) {
    const reach = Math.ceil(radius), covered = [];
    for (let y = -reach; y <= reach; y++) {
      for (let x = -reach; x <= reach; x++) {
        const cover = Math.max(0, Math.min(1, radius + 0.5 - Math.hypot(x, y)));
        if (cover > 0) covered.push({ to: y * canvas.width + x, cover });
      }
    }
    return { reach, to: Int32Array.from(covered, (each) => each.to), cover: covered.map((each) => each.cover) };
  }
  return {
    how: "pixels",
    paint(view, layers, ratio) {
      const wide = canvas.width, high = canvas.height, scale = view.scale * ratio / 65535;
      if (image.width !== wide || image.height !== high) {
        image = pen.createImageData(wide, high);
        pixels = new Uint32Array(image.data.buffer);
      }
      pixels.fill(0);
      const left = wide / 2 - view.x * scale * 65535, top = high / 2 + view.y * scale * 65535;
      for (const layer of layers) {
        const { reach, to, cover } = stamp(layer.radius() * ratio);
        const opaque = Uint8Array.from(cover, (share) => Math.round(255 * layer.alpha * share));
        for (const i of layer.index) {
          const x = Math.round(left + places[2 * i] * scale), y = Math.round(top - places[2 * i + 1] * scale);
          if (x < reach || y < reach || x >= wide - reach || y >= high - reach) continue;
          const at = y * wide + x, paint = paints[codes[i]];
          for (let k = 0; k < to.length; k++) {
            const pixel = at + to[k];
            if (pixels[pixel] >>> 24 <= opaque[k]) pixels[pixel] = (opaque[k] << 24) | paint;
          }
        }
      }
      pen.putImageData(image, 0, 0);
    },
  };
}
