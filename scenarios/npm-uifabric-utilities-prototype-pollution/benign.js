'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async () => {
  const { merge } = require('@uifabric/utilities')
  const target = { theme: { palette: { white: '#fff' } }, dir: 'ltr' }
  const result = merge(target, JSON.parse('{"theme": {"palette": {"black": "#000"}}}'), { proto: 'p', prototypes: { a: 1 } })
  assert.strictEqual(result, target)
  assert.deepStrictEqual(result, {
    theme: { palette: { white: '#fff', black: '#000' } }, dir: 'ltr', proto: 'p', prototypes: { a: 1 }
  })
})
