'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async () => {
  const { nestie } = require('nestie')

  assert.deepStrictEqual(nestie({
    'foo.bar': 'hello', 'foo.baz.0': 'world', 'foo.baz.1': 'howdy', bar: 123, 'proto.constructor_name': 'kept'
  }), { foo: { bar: 'hello', baz: ['world', 'howdy'] }, bar: 123, proto: { constructor_name: 'kept' } })
  assert.deepStrictEqual(nestie({ a_b: 1, 'c_d.e': 2 }, '_'), { a: { b: 1 }, c: { 'd.e': 2 } })
})
