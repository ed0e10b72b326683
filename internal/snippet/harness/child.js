'use strict'
// Asks a Python program of a class, one line of JSON for each question and answer, and waits for it: a kit's hooks have
// to answer at once.
const fs = require('fs')
const os = require('os')
const path = require('path')
const { execFileSync, spawn } = require('child_process')

// python returns ask(question) for the program, which is started at the first question with two FIFOs as its arguments.
exports.python = program => {
  let pipes
  return question => {
    pipes = pipes || connect(program)
    fs.writeSync(pipes.to, JSON.stringify(question) + '\n')
    let answer = Buffer.alloc(0)
    const part = Buffer.alloc(65536)
    while (!answer.includes(10)) {
      const n = fs.readSync(pipes.from, part)
      if (!n) throw new Error(`${path.basename(program)} is gone`)
      answer = Buffer.concat([answer, part.subarray(0, n)])
    }
    return JSON.parse(answer.toString('utf8'))
  }
}

function connect (program) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ask-'))
  const [to, from] = [path.join(dir, 'to'), path.join(dir, 'from')]
  execFileSync('mkfifo', [to, from])
  spawn('python3', ['-I', '-S', program, to, from], { stdio: ['ignore', 'ignore', 'inherit'] }).unref()
  return { to: fs.openSync(to, 'w'), from: fs.openSync(from, 'r') }
}
