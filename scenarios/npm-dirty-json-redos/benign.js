'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')


benign(async () => {
  const { parse } = require('dirty-json')
  const cases = [
    ['{"a": [1, 2.5, -3], "b": {"c": "d"}, "e": true, "f": null}', { a: [1, 2.5, -3], b: { c: 'd' }, e: true, f: null }],
    ["{'a': 'b'}", { a: 'b' }],
    ['{a: "b"}', { a: 'b' }],
    ['{"a": "it\'s", "b": \'"so"\'}', { a: "it's", b: '"so"' }],
    ['{"a": "x \\"y\\" z"}', { a: 'x "y" z' }],
    ['{"path": "c:\\\\temp"}', { path: 'c:\\temp' }],
    [`["${'long '.repeat(400)}"]`, ['long '.repeat(400)]]
  ]
  for (const [text, want] of cases) assert.deepStrictEqual(await parse(text), want, text)
  await assert.rejects(async () => parse('}', false))
})
