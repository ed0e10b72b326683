'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async () => {
  const jsonpatch = require('fast-json-patch')

  const result = jsonpatch.applyOperation({ a: 1 }, { op: 'add', path: '/b', value: { c: 2 } })
  assert.deepStrictEqual(result.newDocument, { a: 1, b: { c: 2 } })
  assert.throws(() => jsonpatch.applyOperation({ a: 1 }, { op: 'test', path: '/a', value: 2 }, true))
  const patch = jsonpatch.compare({ a: { b: 1 } }, { a: { b: 2, c: 3 } })
  assert.deepStrictEqual(jsonpatch.applyPatch({ a: { b: 1 } }, patch).newDocument, { a: { b: 2, c: 3 } })
})
