'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async () => {
  const { applyPatch } = require('rfc6902')

  const document = { name: 'a', list: [1, 2], inner: { x: 1 } }
  const results = applyPatch(document, [
    { op: 'test', path: '/name', value: 'a' },
    { op: 'add', path: '/list/1', value: 9 },
    { op: 'replace', path: '/inner/x', value: 2 },
    { op: 'move', from: '/name', path: '/inner/a~1b' },
    { op: 'add', path: '/proto', value: {} },
    { op: 'add', path: '/proto/constructor_name', value: 'kept' },
    { op: 'copy', from: '/inner/x', path: '/again' }
  ])
  assert.deepStrictEqual(results, Array(7).fill(null))
  assert.deepStrictEqual(document, { list: [1, 9, 2], inner: { x: 2, 'a/b': 'a' }, proto: { constructor_name: 'kept' }, again: 2 })
})
