# ViC-MAE on clips, as short as adapt.py
_base_ = './vicmae.py'

title = 'ViC-MAE from scratch, short'
about = 'as long as "adapted", from the initial weights.'

epochs = 20
