'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')


benign(async () => {
  const color = require('colors-cli/safe')
  const shown = text => text.replace(/\x1b\[[\d;]*m/g, '')
  for (const style of ['red', 'green', 'cyan_b', 'bold', 'underline', 'x45', 'blue_bbt']) {
    assert.strictEqual(shown(color[style]('hello; [you]')), 'hello; [you]', style)
    assert.notStrictEqual(color[style]('hello'), 'hello', style)
  }
  assert.match(color.red('hello'), /\x1b\[[\d;]*31m/)
  assert.strictEqual(shown(color.red.underline('hello')), 'hello')
  const nested = color.red(`one ${color.green('two')} three`)
  assert.strictEqual(shown(nested), 'one two three')
  assert.match(nested, /\x1b\[[\d;]*32m/)
})
