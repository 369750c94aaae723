#!/usr/bin/env node
'use strict';
require('../dist/sever.js');
