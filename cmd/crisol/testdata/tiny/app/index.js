'use strict'
const fs = require('fs')
const path = require('path')

exports.read = function read (root, name) {
  const file = path.resolve(root, name)
  return fs.readFileSync(file, 'utf8')
}
