'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async () => {
  const setPath = require('object-path-set')

  const object = { a: { x: 1 } }
  assert.strictEqual(setPath(object, 'a.b.c', 2), object)
  setPath(object, ['d', 'e.f'], 3)
  setPath(object, 'g/h', 4, '/')
  setPath(object, 'proto.constructor_name', 'kept')
  assert.deepStrictEqual(object, {
    a: { x: 1, b: { c: 2 } }, d: { 'e.f': 3 }, g: { h: 4 }, proto: { constructor_name: 'kept' }
  })
})
