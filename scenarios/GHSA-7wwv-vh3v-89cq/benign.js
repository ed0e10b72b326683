'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')


benign(async () => {
  const hljs = require('highlight.js')
  const show = (language, code) => hljs.highlight(language, code).value
  assert.match(show('cpp', 'std::vector<int> sum(int a);'), /<span class="hljs-keyword">int<\/span>/)
  assert.match(show('cpp', 'void greet(const char *name) { return; }'), /<span class="hljs-title">greet<\/span>/)
  assert.match(show('cpp', 'map<string, int> count(int a) { }'), /count/)
  assert.match(show('arduino', 'int led(int pin) { digitalWrite(pin, HIGH); }'), /<span class="hljs-title">led<\/span>/)
  assert.match(show('asciidoc', 'See http://example.com/a[the page] and link:b.html[].'), /<span class="hljs-string">the page<\/span>|the page/)
  assert.match(show('javascript', 'const a = "b"'), /<span class="hljs-keyword">const<\/span> a = <span class="hljs-string">&quot;b&quot;<\/span>/)
  assert.strictEqual(hljs.highlightAuto('def f(x):\n    return None\n', ['python', 'css']).language, 'python')
  for (const language of ['cpp', 'arduino', 'asciidoc', 'yaml', 'ruby']) {
    const code = 'a <b> "c" & [d]: e\n'
    assert.strictEqual(show(language, code).replace(/<[^>]*>/g, '').replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&quot;/g, '"').replace(/&#x27;/g, "'").replace(/&amp;/g, '&'), code)
  }
  assert(hljs.listLanguages().length > 150)
})
