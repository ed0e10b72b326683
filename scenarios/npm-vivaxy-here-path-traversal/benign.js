'use strict'
const assert = require('node:assert')
const { benign } = require('@crisol/trial')

benign(async t => {
  await t.serve(3000, [require.resolve('@vivaxy/here'), '--port', '3000', '--directory', 'public', '--silent'])
  await t.serves('public')
  assert.match((await t.request({ path: '/sub/site.css' })).headers['content-type'], /^text\/css/)
  assert.deepStrictEqual(await t.get('/sub/site.css?v=1.2'), { status: 200, body: 'h1 { color: teal }\n' })
  assert.strictEqual((await t.get('/sub/no-such.css')).status, 404)
})
