'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')


benign(async () => {
  const truncate = require('truncate')
  assert.strictEqual(truncate('hello', 3), 'hel\u2026')
  assert.strictEqual(truncate('hello', 10), 'hello')
  assert.strictEqual(truncate('', 3), '')
  assert.strictEqual(truncate(null, 3), '')
  assert.strictEqual(truncate('I am not sure what I am talking about', 10, { ellipsis: '...' }), 'I am not s...')
  assert.strictEqual(truncate('I am not sure', 4, { ellipsis: false }), 'I am')
  const url = 'http://distilleryimage8.s3.amazonaws.com/719bf2329ddd11e28c3122000aa80097_7.jpg'
  assert.strictEqual(truncate(`Hey ${url}`, 4), 'Hey \u2026')
  assert.strictEqual(truncate(`Hey ${url}`, 5), `Hey ${url}`)
  assert.strictEqual(truncate(`Hey ${url}, how are you?`, 5).slice(0, 4 + url.length), `Hey ${url}`)
  assert.strictEqual(truncate('Ask bob_smith@example.com today', 8), 'Ask bob_smith@example.com\u2026')
  assert.strictEqual(truncate('Hey http://hehe.com plop http://plop.com', 22), 'Hey http://hehe.com pl\u2026')
  assert.strictEqual(truncate('word-word_word '.repeat(400), 5999), 'word-word_word '.repeat(400).slice(0, 5999) + '\u2026')
})
