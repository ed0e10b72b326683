'use strict'
const { benign } = require('@crisol/trial')
const assert = require('assert')
const path = require('path')

benign(async () => {
  const { read } = require(process.env.TARGET)
  const root = path.join(process.env.TARGET, 'public')
  assert.strictEqual(read(root, 'hello.txt'), 'hello\n')
  assert.strictEqual(read(root, 'deep/hello.txt'), 'deep\n')
})
