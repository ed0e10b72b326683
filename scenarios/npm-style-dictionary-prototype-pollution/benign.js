'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async () => {
  const dictionary = require('style-dictionary')
  const extended = dictionary.extend({
    properties: { color: { base: { blue: { value: '#00f' } } }, size: { small: { value: 1 } } },
    source: ['tokens.json']
  })
  assert.strictEqual(extended.properties.color.base.red.value, '#f00')
  assert.strictEqual(extended.properties.color.base.blue.value, '#00f')
  assert.strictEqual(extended.properties.size.small.value, 1)
  assert.strictEqual(extended.properties.proto.constructor_name.value, 'x')
  assert.strictEqual(typeof extended.buildAllPlatforms, 'function')
})
