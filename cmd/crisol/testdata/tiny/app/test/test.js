'use strict'
const assert = require('assert')
const path = require('path')
const { read } = require('..')

assert.strictEqual(read(path.join(__dirname, '..', 'public'), 'hello.txt'), 'hello\n')
