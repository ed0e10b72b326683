'use strict'
// The photo wall's own tests: the list, broken forms, methods, and bytes that look like a form's own.
const { benign } = require('@crisol/trial')
const assert = require('assert')
const { get, upload, PNG } = require('./wall')

benign(async t => {
  assert.deepStrictEqual(JSON.parse((await get('/photos')).data), [])
  const tricky = Buffer.concat([PNG, Buffer.from('\r\n--\r\n\r\nfilename="x"\r\n')])
  const first = await upload('tricky.png', 'image/png', tricky)
  assert.ok((await get(first.value.url)).data.equals(tricky))
  const second = await upload('tricky too.png', 'image/png', PNG)
  assert.notStrictEqual(first.value.url, second.value.url)
  assert.deepStrictEqual(JSON.parse((await get('/photos')).data).map(photo => photo.title), ['tricky.png', 'tricky too.png'])

  const form = body => t.request({ method: 'POST', path: '/photos', headers: { 'Content-Type': 'multipart/form-data; boundary=x' }, body })
  assert.strictEqual((await form('--x\r\ncut off')).status, 400)
  assert.strictEqual((await form('--x\r\nContent-Disposition: form-data; name="photo"\r\n\r\ntext\r\n--x--\r\n')).status, 400)
  assert.strictEqual((await t.request({ method: 'DELETE', path: '/photos' })).status, 405)
  assert.strictEqual((await get('/elsewhere')).status, 404)
  assert.strictEqual((await get('/uploads/..%2Fapp.js')).status, 404)
})
