from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0002_condition'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='secrets',
            field=models.JSONField(default=list),
        ),
    ]
